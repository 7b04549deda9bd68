//! The cases from which the fuzzers start, and those that they found, without a fuzzer.

#[path = "fuzz/promises/mod.rs"]
mod promises;

/// Holds every case of a corpus to its promises.
fn run(target: &str, hold: impl Fn(&[u8])) {
    let folder = format!("{}/tests/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut cases = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus is there") {
        let path = entry.expect("the corpus can be read").path();
        let case = std::fs::read(&path).expect("a case can be read");
        println!("{}", path.display());
        hold(&case);
        cases += 1;
    }
    assert!(cases >= 12, "{cases} cases");
}

#[test]
fn no_answer_however_mad_breaks_the_decoder_or_gives_a_secret_away() {
    run("answer", promises::answer::hold);
}

#[test]
fn no_request_or_report_however_mad_is_taken_for_another_by_the_applier_or_the_daemon() {
    run("applier", promises::applier::hold);
}

#[test]
fn no_request_however_mad_is_granted_by_the_broker_to_who_may_not_ask() {
    run("broker", promises::broker::hold);
}

#[test]
fn no_certificate_is_used_that_the_connector_has_not_signed_for_this_key() {
    run("certificates", promises::certificates::hold);
}

#[test]
fn no_configuration_however_mad_is_read_otherwise_than_it_is_written_or_gives_a_password_away() {
    run("configuration", promises::configuration::hold);
}

#[test]
fn no_request_however_mad_is_obeyed_at_the_control_socket_from_who_may_not_give_it() {
    run("control", promises::control::hold);
}

#[test]
fn no_subject_however_mad_is_asked_for_otherwise_than_it_is_written() {
    run("subject", promises::subject::hold);
}

#[test]
fn no_name_or_value_however_mad_leads_a_file_elsewhere_or_its_reader_astray() {
    run("templates", promises::templates::hold);
}

#[test]
fn no_token_file_however_mad_is_taken_for_another_or_is_quoted() {
    run("token", promises::token::hold);
}
