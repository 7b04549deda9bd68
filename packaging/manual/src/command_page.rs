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
    for command in cli.get_subcommands() {
        // `--help` is told of once, for all of them.
        let man = Man::new(command.clone().mut_arg("help", |help| help.hide(true)));
        let line = call(command);
        synopsis.push_str(&line);
        synopsis.push_str(".br\n");
        subcommands.push_str(&format!(".SS {}\n{line}.PP\n", command.get_name()));
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        subcommands.push_str(&format!("{}.\n", escape(&about)));
        if let Some(more) = more(command.get_name()) {
            subcommands.push_str(".PP\n");
            subcommands.push_str(more);
        }
        subcommands.push_str(&body(|page| man.render_options_section(page))?);
    }
    Ok(SOURCE
        .replace("@SYNOPSIS@\n", synopsis.strip_suffix(".br\n").unwrap_or(&synopsis))
        .replace("@SUBCOMMANDS@\n", &subcommands))
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
    for argument in command.get_arguments().filter(|argument| argument.get_id() != "help") {
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
        "renew" => "The command returns as soon as renewal has begun;\n.B runtime\\-agent status\nshows how it goes.\n",
        "check" => "A mistake is shown with its line, and with what is allowed there.\n",
        "apply" => "This is not for people: without the socket from systemd, or pipes, it does\nnothing.\n",
        _ => return None,
    })
}
