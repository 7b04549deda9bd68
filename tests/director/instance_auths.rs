//! What asking for instance auths, looking at them and giving them back promises, in both dialects.

use std::time::Duration;

use plane::{CredentialKind, Endpoint, Fault, Generate, Options, RetryAfter, Verdict, model};
use runtime_agent::director::{Dialect, Director, Outcome, Refusal, RefusalKind};
use runtime_agent::ids::{ApplicationId, BundleId, InstanceAuthId};
use runtime_agent::snapshot::{BindingContext, Condition, Credential, InstanceAuth};
use runtime_agent::transport::{self, CallError, Limits};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::paired::{LIMITS, Paired};

const DIALECTS: [(plane::Dialect, Dialect); 2] =
    [(plane::Dialect::Bundle, Dialect::Bundle), (plane::Dialect::Package, Dialect::Package)];

const ASK: &str = "RequestInstanceAuthCreation";
const GIVE_BACK: &str = "RequestInstanceAuthDeletion";

/// A host, and one bundle that it can ask credentials for.
struct Scene {
    paired: Paired,
    director: Director,
    dialect: Dialect,
    application: ApplicationId,
    bundle: BundleId,
}

impl Scene {
    async fn new((spoken, dialect): (plane::Dialect, Dialect), plan: Generate) -> Self {
        let paired = Paired::with(Options { dialect: spoken, ..Options::default() }).await;
        let ids = paired.plane.generate(Generate { applications: 1, ..plan });
        let bundle = paired.plane.applications()[0].bundles[0].id.parse().unwrap();
        let director = paired.director();
        Self { director, dialect, application: ids[0].parse().unwrap(), bundle, paired }
    }

    /// With credentials for everybody, that a request gets at once.
    async fn prompt(dialect: (plane::Dialect, Dialect)) -> Self {
        Self::new(dialect, Generate { credentials: vec![CredentialKind::Basic], ..Generate::default() }).await
    }

    /// Where the application has to be asked.
    async fn slow(dialect: (plane::Dialect, Dialect)) -> Self {
        Self::new(dialect, Generate { credentials: vec![CredentialKind::Absent], ..Generate::default() }).await
    }

    fn context(&self, binding: &str) -> String {
        let runtime = self.paired.runtime.as_str();
        json!({ "instance_id": "instance-1", "binding_id": binding, "runtime_id": runtime }).to_string()
    }

    async fn ask(&self) -> Result<InstanceAuth, CallError> {
        self.ask_with(None).await
    }

    async fn ask_with(&self, parameters: Option<&SecretString>) -> Result<InstanceAuth, CallError> {
        let context = self.context("binding-1");
        self.director.request_instance_auth(self.dialect, &self.bundle, &context, parameters).await
    }

    async fn give_back(&self, id: &InstanceAuthId) -> Result<InstanceAuth, CallError> {
        self.director.give_back_instance_auth(self.dialect, id).await
    }

    async fn find(&self, id: &InstanceAuthId) -> Option<InstanceAuth> {
        self.director.instance_auth(self.dialect, id).await.unwrap()
    }

    async fn all(&self) -> Option<Vec<InstanceAuth>> {
        let Self { director, dialect, application, bundle, paired } = self;
        director.instance_auths_of(*dialect, application, bundle, &paired.runtime).await.unwrap()
    }

    fn answer(&self, id: &InstanceAuthId, verdict: Verdict) {
        self.paired.plane.answer_instance_auth(id.as_str(), verdict).unwrap();
    }

    /// How many instance auths the plane holds for us.
    fn held(&self) -> usize {
        self.paired.plane.instance_auths(self.paired.runtime.as_str()).len()
    }
}

fn grant(password: &str) -> Verdict {
    let credential = Some(model::Credential::Basic { username: "me".into(), password: password.into() });
    Verdict::Grant { auth: Box::new(model::Auth { credential, ..model::Auth::default() }) }
}

fn password(auth: &InstanceAuth) -> Option<&str> {
    match &auth.auth.as_ref()?.credential {
        Credential::Basic { password, .. } => Some(password.expose_secret()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn where_everybody_has_the_same_credentials_they_come_at_once_and_go_at_once() {
    for dialect in DIALECTS {
        let scene = Scene::prompt(dialect).await;
        let made = scene.ask().await.unwrap();
        assert_eq!(made.condition, Condition::Succeeded);
        assert!(password(&made).unwrap().starts_with("canary-"));
        let mark = BindingContext { instance_id: "instance-1".into(), binding_id: "binding-1".into() };
        assert_eq!(made.binding(), Some(mark));
        let found = scene.find(&made.id).await.unwrap();
        assert_eq!((&found.id, &found.context, password(&found)), (&made.id, &made.context, password(&made)));

        assert_eq!(scene.give_back(&made.id).await.unwrap().condition, Condition::Unused);
        assert!(scene.find(&made.id).await.is_none());
        assert_eq!((scene.all().await.unwrap().len(), scene.held()), (0, 0));
        let again = Refusal::of(&scene.give_back(&made.id).await.unwrap_err());
        assert_eq!((again.kind, again.outcome, again.code), (RefusalKind::Missing, Outcome::Undone, Some(20)));
        let requests = scene.paired.plane.requests();
        assert!(requests.iter().all(|request| request.status == Some(200)), "{dialect:?}: a query does not fit");
    }
}

#[tokio::test]
async fn an_application_that_is_asked_grants_and_revokes_in_its_own_time() {
    for dialect in DIALECTS {
        let scene = Scene::slow(dialect).await;
        let made = scene.ask().await.unwrap();
        assert_eq!((&made.condition, password(&made)), (&Condition::Pending, None));
        assert_eq!(scene.find(&made.id).await.unwrap().condition, Condition::Pending);
        scene.answer(&made.id, grant("canary-x"));
        let granted = scene.find(&made.id).await.unwrap();
        assert_eq!((&granted.condition, password(&granted)), (&Condition::Succeeded, Some("canary-x")));
        assert!(!format!("{granted:?}").contains("canary"), "a password is printed");

        assert_eq!(scene.give_back(&made.id).await.unwrap().condition, Condition::Unused);
        assert_eq!(scene.find(&made.id).await.unwrap().condition, Condition::Unused);
        assert_eq!(scene.all().await.unwrap()[0].condition, Condition::Unused);
        scene.answer(&made.id, Verdict::Remove);
        assert!(scene.find(&made.id).await.is_none());
    }
}

#[tokio::test]
async fn an_application_that_refuses_says_why() {
    for dialect in DIALECTS {
        let scene = Scene::slow(dialect).await;
        let made = scene.ask().await.unwrap();
        scene.answer(&made.id, Verdict::Refuse { message: "no more licences".into() });
        let failed = scene.find(&made.id).await.unwrap();
        assert_eq!((&failed.condition, failed.message.as_deref()), (&Condition::Failed, Some("no more licences")));
        assert!(failed.auth.is_none());
    }
}

#[tokio::test]
async fn context_and_parameters_arrive_as_they_were_given() {
    for dialect in DIALECTS {
        let schema = json!({ "type": "object", "required": ["region"] }).to_string();
        let scene = Scene::new(dialect, Generate { request_schema: Some(schema), ..Generate::default() }).await;
        let refusal = Refusal::of(&scene.ask().await.unwrap_err());
        assert_eq!((refusal.kind, refusal.code), (RefusalKind::Invalid, Some(22)));
        assert!(refusal.message.contains("inputParams are missing"), "{}", refusal.message);
        let parameters = json!({ "region": "eu", "note": "\"ü\n" }).to_string();
        let made = scene.ask_with(Some(&parameters.as_str().into())).await.unwrap();
        assert_eq!(made.context.as_deref(), Some(&*scene.context("binding-1")));
        let kept = scene.paired.plane.inspect(|state| {
            let (_, _, auth) = state.model.instance_auth(made.id.as_str()).unwrap();
            (auth.context.clone(), auth.input_params.clone())
        });
        assert_eq!(kept, (made.context.map(Into::into), Some(parameters)));
    }
}

#[tokio::test]
async fn only_what_is_for_this_runtime_is_listed() {
    for (spoken, dialect) in DIALECTS {
        let scene = Scene::slow((spoken, dialect)).await;
        let made = scene.ask().await.unwrap();
        let auth = |id: &str, owner: Option<&str>, context: Option<Value>| model::InstanceAuth {
            id: id.into(),
            runtime_id: owner.map(Into::into),
            context: context.map(|context| context.to_string()),
            ..Default::default()
        };
        scene.paired.plane.edit(|model| {
            let bundle = &mut model.application_mut(scene.application.as_str()).unwrap().bundles[0];
            bundle.instance_auths.extend([
                auth("foreign", Some("runtime-2"), Some(json!({ "binding_id": "x", "runtime_id": "runtime-2" }))),
                auth("nobodys", None, None),
            ]);
        });
        let all = scene.all().await.unwrap();
        assert_eq!(all.iter().map(|auth| &auth.id).collect::<Vec<_>>(), [&made.id], "{dialect}");
    }
}

#[tokio::test]
async fn what_is_gone_is_told_from_what_cannot_be_read() {
    for dialect in DIALECTS {
        let scene = Scene::prompt(dialect).await;
        let made = scene.ask().await.unwrap();
        let director = || Fault::on(Endpoint::Director).times(1);
        for operation in ["InstanceAuth", "InstanceAuths"] {
            scene.paired.plane.fault(director().operation(operation).failure(20, "Object not found"));
        }
        assert!(scene.find(&made.id).await.is_none());
        assert!(scene.all().await.is_none());
        for fault in [
            director().failure(10, "oops"),
            director().failure(26, "who are you"),
            director().null_field("auth"),
            director().errors_beside("one subgraph is away"),
            director().status(503, "busy"),
            director().lost_answer(),
        ] {
            let words = format!("{fault:?}");
            scene.paired.plane.fault(fault.clone().operation("InstanceAuth"));
            scene.director.instance_auth(scene.dialect, &made.id).await.expect_err(&words);
            scene.paired.plane.fault(fault.operation("InstanceAuths"));
            let (application, bundle, runtime) = (&scene.application, &scene.bundle, &scene.paired.runtime);
            let all = scene.director.instance_auths_of(scene.dialect, application, bundle, runtime).await;
            all.expect_err(&words);
        }
        assert_eq!(scene.all().await.unwrap().len(), 1);

        let nothing = "nothing".parse().unwrap();
        let found =
            scene.director.instance_auths_of(scene.dialect, &scene.application, &nothing, &scene.paired.runtime);
        assert!(found.await.unwrap().is_none(), "there is no such bundle");
        scene.paired.plane.delete_application(scene.application.as_str());
        assert!(scene.all().await.is_none(), "there is no such application");
        let refusal = Refusal::of(&scene.ask().await.unwrap_err());
        assert_eq!((refusal.kind, refusal.outcome), (RefusalKind::Missing, Outcome::Undone));
    }
}

#[tokio::test]
async fn each_refusal_means_what_its_code_says_and_left_nothing_behind_where_it_says_so() {
    for dialect in DIALECTS {
        let scene = Scene::prompt(dialect).await;
        for (code, kind, outcome) in [
            (20, RefusalKind::Missing, Outcome::Undone),
            (22, RefusalKind::Invalid, Outcome::Undone),
            (23, RefusalKind::Unavailable(None), Outcome::Undone),
            (24, RefusalKind::Unavailable(None), Outcome::Undone),
            (25, RefusalKind::Unavailable(None), Outcome::Undone),
            (26, RefusalKind::Unavailable(None), Outcome::Undone),
            (27, RefusalKind::Unsupported, Outcome::Undone),
            (32, RefusalKind::Concurrent, Outcome::Undone),
            (35, RefusalKind::Concurrent, Outcome::Undone),
            (10, RefusalKind::Unavailable(None), Outcome::Unknown),
        ] {
            for operation in [ASK, GIVE_BACK] {
                let fault = Fault::on(Endpoint::Director).operation(operation).times(1);
                scene.paired.plane.fault(fault.failure(code, "not\nlike this"));
            }
            let wanted = Refusal { kind, code: Some(code.into()), message: "not like this".into(), outcome };
            assert_eq!(Refusal::of(&scene.ask().await.unwrap_err()), wanted);
            assert_eq!(Refusal::of(&scene.give_back(&"auth-1".parse().unwrap()).await.unwrap_err()), wanted);
            assert_eq!(scene.held(), 0);
        }
        let later = Fault::on(Endpoint::Director).operation(ASK).times(1).rate_limited(Some(RetryAfter::Seconds(7)));
        scene.paired.plane.fault(later);
        let refusal = Refusal::of(&scene.ask().await.unwrap_err());
        let wait = RefusalKind::Unavailable(Some(Duration::from_secs(7)));
        assert_eq!((refusal.kind, refusal.outcome, scene.held()), (wait, Outcome::Undone, 0));
    }
}

#[tokio::test]
async fn a_revoked_certificate_and_the_other_dialect_are_no_faults_of_the_request() {
    let scene = Scene::prompt(DIALECTS[0]).await;
    scene.paired.plane.set_dialect(plane::Dialect::Package);
    let error = scene.ask().await.unwrap_err();
    let refusal = Refusal::of(&error);
    assert_eq!((refusal.kind, refusal.outcome), (RefusalKind::Unavailable(None), Outcome::Undone), "{error}");
    scene.paired.plane.revoke(scene.paired.runtime.as_str());
    let error = scene.ask().await.unwrap_err();
    let refusal = Refusal::of(&error);
    assert_eq!((refusal.kind, refusal.outcome), (RefusalKind::Unavailable(None), Outcome::Undone), "{error}");
    assert_eq!(scene.held(), 0);
}

#[tokio::test]
async fn a_lost_answer_leaves_an_instance_auth_that_is_found_by_its_context() {
    for dialect in DIALECTS {
        let scene = Scene::prompt(dialect).await;
        let director = || Fault::on(Endpoint::Director).operation(ASK).times(1);
        for (fault, held) in [
            (director().reset(), 0),
            (director().lost_answer(), 1),
            (director().truncate(40), 2),
            (director().processed().status(502, "bad gateway"), 3),
            (director().processed().body("<html>"), 4),
            (director().null_field("auth"), 5),
            (director().errors_beside("one subgraph is away"), 6),
        ] {
            let words = format!("{fault:?}");
            scene.paired.plane.fault(fault);
            let refusal = Refusal::of(&scene.ask().await.expect_err(&words));
            assert_eq!((refusal.kind, refusal.outcome), (RefusalKind::Unavailable(None), Outcome::Unknown), "{words}");
            let all = scene.all().await.unwrap();
            let ours = |auth: &&InstanceAuth| auth.binding().is_some_and(|mark| &*mark.binding_id == "binding-1");
            assert_eq!(all.iter().filter(ours).count(), held, "{words}");
        }
        let id = scene.all().await.unwrap().remove(0).id;
        scene.paired.plane.fault(Fault::on(Endpoint::Director).operation(GIVE_BACK).times(1).lost_answer());
        let refusal = Refusal::of(&scene.give_back(&id).await.unwrap_err());
        assert_eq!(refusal.outcome, Outcome::Unknown);
        assert!(scene.find(&id).await.is_none());
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_leaves_open_what_became_of_the_request() {
    let scene = Scene::prompt(DIALECTS[0]).await;
    scene.paired.plane.fault(Fault::on(Endpoint::Director).operation(ASK).delay(Duration::from_secs(3600)));
    let director = scene.paired.director_with(Limits { answer_timeout: Duration::from_secs(1), ..LIMITS }, None);
    let asked = director.request_instance_auth(scene.dialect, &scene.bundle, "{}", None).await;
    let refusal = Refusal::of(&asked.unwrap_err());
    assert_eq!((refusal.kind, refusal.outcome), (RefusalKind::Unavailable(None), Outcome::Unknown));
}

#[tokio::test]
async fn parameters_are_in_no_words_even_if_the_plane_repeats_them() {
    let scene = Scene::prompt(DIALECTS[0]).await;
    let parameters =
        json!({ "user": "canary-u", "deep": { "pass word": "canary \"p\"\n<x>", "pin": 7_731_940, "of": "eu" } });
    let text = parameters.to_string();
    let said =
        format!("refused: canary-u, {text}, {parameters:?}, \"canary \\\"p\\\"\\n\\u003cx\\u003e\", 7731940, eu!");
    let director = || Fault::on(Endpoint::Director).operation(ASK).times(1);
    for fault in [
        director().failure(22, &*said),
        director().status(400, &*said),
        director().status(503, &*said),
        director().body(&*said),
        director().body(json!({ "data": { "requested": said } }).to_string()),
        director().body(json!({ "data": { "requested": { "id": said } } }).to_string()),
    ] {
        let words = format!("{fault:?}");
        scene.paired.plane.fault(fault);
        let error = scene.ask_with(Some(&text.as_str().into())).await.expect_err(&words);
        let told = format!("{error} {error:?} {:?}", Refusal::of(&error));
        for secret in ["canary", "7731940", "eu!"] {
            assert!(!told.contains(secret), "{secret} is in {told}");
        }
        assert!(!matches!(error.fault, transport::Fault::Connect(_)), "{error}");
    }
    // What was confided to one request is no secret of the next.
    scene.paired.plane.fault(director().failure(22, "only in eu"));
    assert_eq!(&*Refusal::of(&scene.ask().await.unwrap_err()).message, "only in eu");
}
