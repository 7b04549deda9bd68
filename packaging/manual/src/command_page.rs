//! The page of the command: a source written by hand, with the synopsis and the subcommands filled in from the
//! definition of the command line.

use std::io;

use clap::Command;
use clap_mangen::Man;

const SOURCE: &str = include_str!("../pages/runtime-agent.8");

/// The source of the page; version and day are still to be filled in.
pub(crate) fn source(mut cli: Command) -> io::Result<String> {
    // So that each subcommand knows the whole line that calls it.
    cli.build();
    let mut synopsis = String::new();
    let mut subcommands = String::new();
    for (name, command) in leaves(&cli) {
        // `--help` and `--instance` are told of once, for all of them.
        let man = Man::new(command.clone().mut_args(|argument| {
            let everywhere = argument.get_id() == "help" || argument.is_global_set();
            argument.hide(everywhere)
        }));
        let line = call(command);
        synopsis.push_str(&line);
        synopsis.push_str(".br\n");
        subcommands.push_str(&format!(".SS {name}\n{line}.PP\n"));
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        subcommands.push_str(&format!("{}.\n", escape(&about)));
        if let Some(more) = more(&name) {
            subcommands.push_str(".PP\n");
            subcommands.push_str(more);
        }
        subcommands.push_str(&body(|page| man.render_options_section(page))?);
    }
    Ok(SOURCE
        .replace("@SYNOPSIS@\n", synopsis.strip_suffix(".br\n").unwrap_or(&synopsis))
        .replace("@SUBCOMMANDS@\n", &subcommands))
}

/// The subcommands that do something, by the words that call them.
fn leaves(cli: &Command) -> Vec<(String, &Command)> {
    let mut leaves = Vec::new();
    for command in cli.get_subcommands() {
        let name = command.get_name();
        let below: Vec<_> = command.get_subcommands().filter(|below| below.get_name() != "help").collect();
        if below.is_empty() {
            leaves.push((name.to_owned(), command));
        }
        leaves.extend(below.into_iter().map(|below| (format!("{name} {}", below.get_name()), below)));
    }
    leaves
}

/// What is rendered as a section, without its heading and what roff needs only once in a page.
fn body(render: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> io::Result<String> {
    let mut page = Vec::new();
    render(&mut page)?;
    let page = String::from_utf8(page).map_err(io::Error::other)?;
    let preamble = |line: &str| [".ie ", ".el ", ".SH "].iter().any(|request| line.starts_with(request));
    Ok(page.lines().filter(|line| !preamble(line)).flat_map(|line| [line, "\n"]).collect())
}

/// How a subcommand is called.
fn call(command: &Command) -> String {
    let mut line = format!("\\fB{}\\fR", escape(command.get_bin_name().unwrap_or(command.get_name())));
    for argument in command.get_arguments().filter(|argument| argument.get_id() != "help" && !argument.is_global_set())
    {
        let value = argument.get_action().takes_values().then(|| argument.get_value_names()).flatten();
        let value = value.into_iter().flatten().map(|name| format!("\\fI{}\\fR", escape(name)));
        let option = argument.get_long().map(|long| format!("\\fB{}\\fR", escape(&format!("--{long}"))));
        let words: Vec<String> = option.into_iter().chain(value).collect();
        let words = words.join(" ");
        line.push_str(&if argument.is_required_set() { format!(" {words}") } else { format!(" [{words}]") });
    }
    line.push('\n');
    line
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('-', "\\-")
}

/// What there is to say of a subcommand beyond its line of help.
fn more(subcommand: &str) -> Option<&'static str> {
    Some(match subcommand {
        "run" => {
            "It stays in the foreground, tells systemd when it is ready and how it does, and\n\
             ends on SIGTERM.\n\
             Waiting for a token counts as ready.\n"
        }
        "status" => {
            "The page shows the state in one word, the identity, the last token, the last\n\
             and the next poll, the files, the hooks, and every problem with what the agent\n\
             does about it and what a person can do.\n\
             The exit status says the same to a script; see\n.BR \"EXIT STATUS\" .\n"
        }
        "identity" => {
            "It shows how this host stands with its plane, the subject and the issuer of the\n\
             certificate, the SHA\\-256 of the certificate and of its public key (not the\n\
             serial number, which the plane gives to all alike), the dates, the addresses of\n\
             the plane, by which token it came, and the folder of its files.\n\
             What it prints holds no secret, and the key is not read.\n\
             .PP\n\
             The agent is asked. Where it does not run, or this user may not ask it, the\n\
             files are, which root, the agent's user and the group\n\
             .B runtime\\-agent\\-identity\n\
             may read; that is told on standard error, and when the certificate is going to\n\
             be renewed, or whether the plane rejects it, is not known then.\n\
             .PP\n\
             As JSON, it is an object with\n.B version\n(1),\n.B standing\n\
             (\\fBunpaired\\fR, \\fBvalid\\fR, \\fBnot\\-yet\\-valid\\fR, \\fBexpired\\fR,\n\
             \\fBrejected\\fR or \\fBlost\\fR), and\n.BR identity :\n.B null\nwhere there is none, or\n\
             .BR runtime ,\n.BR tenant ,\n.BR plane ,\n.BR subject ,\n.BR issuer ,\n.BR fingerprint ,\n\
             .BR public_key_fingerprint ,\n.BR key_algorithm ,\n.BR not_before ,\n.BR not_after ,\n\
             .BR issued_at ,\n.B renewal_at\n(or\n.BR null ),\n.BR director_url ,\n.BR connector_url ,\n\
             .BR pairing_url ,\n.B token_fingerprint\n(\\fBnull\\fR after a renewal) and\n.BR path .\n"
        }
        "pair" => {
            "Run as root, it gives the file to the agent's user.\n\
             The token is looked at first, and nothing is written if it is none.\n\
             If the agent does not run, the token stays in place, and is used as soon as it\n\
             does.\n"
        }
        "sync" => "It prints which generation came of it, or why none did.\n",
        "metrics" => {
            "The format is OpenMetrics; see\n.BR METRICS .\n\
             The agent is asked, and has to run.\n"
        }
        "renew" => "The command returns as soon as renewal has begun;\n.B runtime\\-agent status\nshows how it goes.\n",
        "check" => {
            "All files of the configuration are read, and the templates that they name; it\n\
             prints which files counted.\n\
             A mistake is shown with its file and line, and with what is allowed there.\n"
        }
        "config" => {
            "What it prints is a file of the configuration that says by itself what all files and\n\
             variables say together; behind each value stands where it comes from: a file and\n\
             its line, a variable, or the default.\n\
             There are no secrets in a configuration.\n\
             .PP\n\
             As JSON, it is an object with\n.B version\n(1),\n.BR files ,\n.B settings\n(by keys as in\n\
             .BR sync.interval ,\neach with its\n.BR value ,\nwhich is\n.B null\nwhere it is not set, and its\n\
             .BR origin )\nand\n.B templates\n(a list of the same).\nAn origin is an object with\n.BR from :\n\
             .BR file ,\nand then\n.B path\nand\n.BR line ,\n.BR environment ,\nand then\n.BR variable ,\nor\n\
             .BR default .\n"
        }
        "generations" => {
            "A line tells the number, when it was published, how many applications it has, and\n\
             how many files templates made for it.\n\
             Readers see the one that is \\fBcurrent\\fR; \\fBapplied\\fR is the last one that all\n\
             hooks worked for, which is known where the agent runs and this user may ask it.\n\
             .PP\n\
             As JSON, it is an object with\n.B version\n(1),\n.BR current ,\n.B applied\n(each a number or\n\
             .BR null )\nand\n.BR generations ,\na list of objects with\n.BR generation ,\n.BR published_at ,\n\
             .BR applications ,\n.B template_files\nand\n\
             .BR damage :\nwhy it cannot be read, or\n.BR null .\n"
        }
        "diff" => {
            "The files are the JSON files, credentials and texts of applications, and what\n\
             templates made, under the name that it is installed as.\n\
             The tables of contents are left out, for they repeat what is in the others.\n\
             As of\n.BR diff (1),\nthe exit status is 0 where nothing differs, 1 where something does, and 2 where\n\
             that cannot be said.\n\
             .PP\n\
             Secrets are not shown. Every value that the credentials of either generation hold\n\
             (not user names, client ids and addresses, but for passwords in these) is hidden in\n\
             all files: as it is, its lines and long words, as base64 alone or with what stands\n\
             before and after it, and as JSON, YAML, TOML, shells, units, HTML and addresses write\n\
             it.\n.B [secret]\nstands for one that is the same on both sides, and\n.B [secret changed]\n\
             for one that is not. What a template makes of a secret in another way is not known.\n\
             .PP\n\
             A secret of fewer than 4 bytes is hidden in the files of credentials only, and a file\n\
             of a template that holds it as a word is named and not shown.\n\
             The words\n.BR true ,\n.B false\nand\n.B null\nare hidden in files of credentials only.\n\
             .PP\n\
             Where this user may not read all the credentials, or one of their files is damaged,\n\
             files that may hold credentials are only named. So are files of more than 16 MiB.\n\
             Run as root, it reads with the rights of the agent's user.\n"
        }
        "render" => {
            "It needs neither the agent nor the plane, and changes nothing: what the plane last\n\
             said is read from this host, by root or the agent's user.\n\
             Each file is shown with what would become of it in the current generation\n\
             (\\fBnew\\fR, \\fBchanged\\fR, \\fBsame\\fR or \\fBgone\\fR), its template, what it is made for, its\n\
             size and its mode, and without its content.\n\
             .PP\n\
             With\n.BR \\-\\-to ,\nthe files are written, credentials and all, below a folder that is for nobody\n\
             else: a file for\n.I /etc/nginx/x\nas\n.IR DIR/etc/nginx/x ,\nand one inside the generation below\n\
             .IR DIR/generation .\nOf the mode that a template has, the bits for the owner remain. Nothing is written\n\
             where any template cannot be rendered.\n\
             .PP\n\
             With\n.BR \\-\\-template ,\nit is not seen whether a file is in the way of one of another template.\n"
        }
        "broker services" => {
            "A line tells a service, a plan of it, and how credentials of it are had: \\fBat\\-once\\fR,\n\
             \\fBon\\-request\\fR (the application has to make them), or \\fBnone\\fR, for it has no APIs.\n\
             Before the plane has given its list, that is told instead.\n\
             .PP\n\
             The agent is asked, as by the other lists, and has to run; whoever may look may do this.\n\
             As JSON, all three lists are one object with\n.B version\n(1),\n.B services\n\
             (or\n.BR null ,\nwhile there is no list),\n.BR instances ,\n.B bindings\nand\n.BR orphans .\n\
             No credentials are in it.\n"
        }
        "broker instances" => "A line tells an instance, its service and plan, and how many bindings it has.\n",
        "broker bindings" => {
            "A line tells a binding, its service and plan, its phase, since when it is there, and its\n\
             instance; below them stands why some have failed, and which credentials the plane\n\
             has that no binding stands for.\n\
             .BR runtime\\-agent\\-broker (7)\nexplains the phases.\n"
        }
        "broker bind" => {
            "It makes an instance of the plan, if it has made none yet, and a binding, and waits\n\
             for the credentials: a JSON object, which is written with the mode 0600.\n\
             It prints what the binding is called.\n\
             Where the time is over first, the binding goes on; the same command with\n\
             .B \\-\\-binding\nlooks again.\n\
             .PP\n\
             It speaks with the socket of the broker, so it is for root and the group\n\
             .BR broker.clients .\n"
        }
        "broker unbind" => {
            "Any binding can be given back like this, whoever made it, and the instance goes with the\n\
             last binding that\n.B bind\nmade of it.\n\
             It needs what\n.B bind\nneeds, and that this user may look, too.\n"
        }
        "apply" => "This is not for people: without the socket from systemd, or pipes, it does\nnothing.\n",
        _ => return None,
    })
}
