//! What the decoder makes of the cases in the corpus of answers, one by one.

#[test]
fn the_cases_that_are_whole_are_taken_and_the_others_are_refused_by_their_place() {
    use runtime_agent::director::probe::{Question, take};
    let said = |question, case: &str| {
        let path = format!("{}/tests/fuzz/corpus/answer/{case}.json", env!("CARGO_MANIFEST_DIR"));
        take(
            question,
            200,
            &std::fs::read(path).expect("the case is there"),
            &"runtime-1".parse().expect("it is an id"),
        )
    };
    for (question, case, count) in [
        (Question::Applications, "whole", 1),
        (Question::Applications, "documents", 1),
        (Question::Applications, "no-applications", 0),
        (Question::Applications, "older-dialect", 1),
        (Question::Applications, "unknown-fields-and-words", 1),
        (Question::Applications, "credential-of-an-unknown-type", 1),
        (Question::Ids, "whole", 1),
        (Question::Bundles, "page-of-bundles", 1),
        (Question::Bundles, "application-gone", 0),
        (Question::ApiDefinitions, "page-of-api-definitions", 1),
        (Question::EventDefinitions, "page-of-event-definitions", 1),
        (Question::Viewer, "viewer", 1),
        (Question::Runtime, "runtime", 1),
        (Question::InstanceAuthCreation, "instance-auth-requested", 1),
        (Question::InstanceAuthCreation, "instance-auth-pending", 1),
        (Question::InstanceAuthDeletion, "instance-auth-given-back", 1),
        (Question::InstanceAuth, "instance-auth", 1),
        (Question::InstanceAuth, "instance-auth-gone", 0),
        (Question::InstanceAuths, "instance-auths", 2),
        (Question::InstanceAuths, "instance-auths-null", 0),
        (Question::InstanceAuths, "instance-auths-of-a-bundle-that-is-gone", 0),
        (Question::InstanceAuths, "application-gone", 0),
    ] {
        assert_eq!(said(question, case), Ok(count), "{case}");
    }
    for (case, words) in [
        ("password-is-a-list", ".credential.password: invalid type: sequence"),
        ("header-values-of-wrong-types", "additionalHeaders"),
        ("bundles-null-without-errors", "data.applicationsForRuntime.data[0].bundles"),
        (
            "bundles-null-with-errors",
            "\u{201c}one subgraph is away\u{201d} (code 10) at applicationsForRuntime.data[0].bundles",
        ),
        ("errors-beside-whole-data", "\u{201c}line MESSAGE=forged"),
        ("repeated-application", "app-1 came twice"),
        ("total-too-large", "2 were announced and 1 came"),
        ("total-negative", "totalCount"),
        ("total-of-another-type", "totalCount"),
        ("next-page-without-a-cursor", "without a cursor"),
        ("id-that-breaks-a-line", "data.applicationsForRuntime.data[0].id"),
        ("documents-null", ".bundles.data[0].documents: invalid type: null, expected a page"),
        ("missing-status", "missing field `status`"),
        ("refused-query", "Cannot query field"),
        ("broken-off", "it is not JSON from line 1 on"),
        ("something-follows", "the answer is incomplete (at data: missing field `applicationsForRuntime`"),
        ("html", "it is not JSON"),
        ("empty", "it is not JSON"),
    ] {
        let sentence = said(Question::Applications, case).expect_err(case);
        assert!(sentence.contains(words), "{case}: {sentence}");
    }
    for (question, case, words) in [
        (Question::InstanceAuthCreation, "instance-auth-without-id", "missing field `id`"),
        (Question::InstanceAuthCreation, "instance-auth", "missing field `requested`"),
        (Question::InstanceAuthCreation, "instance-auth-beside-errors", "(code 20) at requested.auth"),
        (Question::InstanceAuthDeletion, "instance-auth-gone", "missing field `requested`"),
        (Question::InstanceAuth, "instance-auth-not-asked-for", "missing field `found`"),
        (Question::InstanceAuth, "instance-auth-beside-errors", "one subgraph is away"),
        (Question::InstanceAuths, "instance-auth-not-asked-for", "missing field `application`"),
        (Question::InstanceAuths, "page-of-bundles", "missing field `bundle`"),
    ] {
        let sentence = said(question, case).expect_err(case);
        assert!(sentence.contains(words), "{case}: {sentence}");
    }
}
