//! A room: a plane, a host and its agent, with a secret in everything that can hold one, and somebody who looks on.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use plane::model::{ApiDefinition, Application, Auth, Bundle, Credential};
use plane::{Answering, CredentialKind, Generate, KeyAlgorithm, Options, Plane};
use runtime_agent::config::{Brokerage, ByteSize, LogLevel, Seconds, Settings, TemplateRule};
use tokio::process::Command;

use crate::host::{Agent, Host};
use crate::oracle::Bounds;
use crate::platform::{Offer, Platform};
use crate::reader::{Reader, Seen};
use crate::scene::Scene;

/// The password of those who use the broker at its address.
pub const LOGIN: &str = "canary-login-0123456789abcdef0123456789abcdef";

/// The password of the bundle that is bound.
pub const TILL: &str = "canary-till-0123456789abcdef0123456789abcdef";

/// The label that every room reports.
pub const LABEL: &str = "campaign";

/// How a room differs from others.
#[derive(Clone)]
pub struct Variation {
    /// What is chosen about the plane.
    pub options: Options,
    /// What is configured besides.
    pub settings: Arc<dyn Fn(&mut Settings) + Send + Sync>,
    /// How long the host may take to come back once all trouble is over.
    pub patience: Duration,
    /// What the oracle takes for too much.
    pub bounds: Bounds,
    /// Whether it is the way of the world that a new token is needed: the certificate may have ended, for example.
    pub may_cost_a_token: bool,
}

impl Default for Variation {
    fn default() -> Self {
        Self {
            options: Options::default(),
            settings: Arc::new(|_| {}),
            patience: Duration::from_secs(60),
            bounds: Bounds::default(),
            may_cost_a_token: false,
        }
    }
}

/// The room.
pub struct Room {
    pub scene: Scene,
    pub variation: Variation,
    /// What is bound.
    pub offer: Offer,
    pub began: Instant,
    reader: Mutex<Option<Reader>>,
    seen: Arc<Mutex<Seen>>,
    /// Where the broker is served besides its socket.
    address: String,
    /// What is to stand in the label at the plane.
    label: AtomicU32,
    /// How often somebody ordered something that makes the agent ask the plane.
    orders: AtomicU32,
    /// How many tokens were dropped.
    tokens: AtomicU32,
    /// Whether a binding was asked for.
    pub bound: AtomicBool,
}

impl Room {
    /// A room with everything in it, in which nothing runs yet.
    pub async fn new(variation: &Variation) -> Self {
        let variation = variation.clone();
        let options = Options {
            key_algorithm: KeyAlgorithm::EcdsaP256,
            answering: Answering::Promptly,
            ..variation.options.clone()
        };
        let plane = Plane::start(options).await.unwrap();
        plane.generate(Generate {
            applications: 4,
            events: 1,
            documents: 1,
            credentials: CredentialKind::ALL.to_vec(),
            seed: 7,
            ..Generate::default()
        });
        let runtime = plane.register_runtime("host");
        let id = plane.put_application(application("Till", TILL));
        let found = plane.applications().into_iter().find(|found| found.id == id).unwrap();
        let offer = Offer { plan: found.bundles[0].id.clone(), service: id };
        let host = Host::in_memory(&plane, |_| {});
        fs::create_dir(host.path("etc")).unwrap();
        fs::write(host.path("login"), format!("till:{LOGIN}\n")).unwrap();
        fs::set_permissions(host.path("login"), Permissions::from_mode(0o600)).unwrap();
        host.hook(
            "50-record",
            r#"cat >"$SPOOL/.told"; mv "$SPOOL/.told" "$SPOOL/$1.json"; env >"$SPOOL/$1.env"
echo "$1 $RUNTIME_AGENT_GENERATION" >>"$SPOOL/events"; echo "$@"; tr '\0' ' ' <"/proc/$PPID/cmdline""#,
        );
        let room = Self {
            scene: Scene { plane, runtime, host },
            variation,
            offer,
            began: Instant::now(),
            reader: Mutex::default(),
            seen: Arc::default(),
            address: own_address(),
            label: AtomicU32::new(1),
            orders: AtomicU32::default(),
            tokens: AtomicU32::default(),
            bound: AtomicBool::default(),
        };
        room.configure();
        room
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.scene.host
    }

    /// The plane.
    pub fn plane(&self) -> &Plane {
        &self.scene.plane
    }

    /// Who asks for bindings.
    pub fn platform(&self) -> Platform {
        Platform::at(self.host())
    }

    /// Writes the configuration anew.
    pub fn configure(&self) {
        self.host().configure(|settings| {
            settings.sync.interval = Seconds::new(5);
            settings.sync.retry_cap = Seconds::new(5);
            settings.plane.connect_timeout = Seconds::new(2);
            settings.plane.answer_timeout = Seconds::new(2);
            settings.plane.stall_timeout = Seconds::new(2);
            settings.plane.max_answer = ByteSize::new(1024 * 1024);
            settings.apply.retry_cap = Seconds::new(5);
            settings.hooks.timeout = Seconds::new(20);
            settings.broker.enabled = Brokerage::Open;
            settings.broker.listen = Some(self.address.parse().unwrap());
            settings.broker.password_file = Some(self.host().path("login"));
            let label = self.label();
            settings.report = toml::from_str(&format!("labels = {{ {LABEL} = \"{label}\" }}")).unwrap();
            settings.report.events_url = Some("https://events.example.com".parse().unwrap());
            settings.template = vec![installed(self.host()), kept()];
            settings.log.level = LogLevel::Debug;
            (self.variation.settings)(settings);
        });
    }

    /// What is to stand in the label at the plane.
    pub fn label(&self) -> String {
        format!("value {}", self.label.load(Ordering::SeqCst))
    }

    /// Wants another text in the label.
    pub fn relabel(&self) {
        self.label.fetch_add(1, Ordering::SeqCst);
        self.configure();
        self.ordered();
    }

    /// Drops a new token.
    pub fn drop_token(&self) {
        self.tokens.fetch_add(1, Ordering::SeqCst);
        self.host().drop_token(&self.scene.mint());
        self.ordered();
    }

    /// Whether any token was dropped.
    pub fn had_a_token(&self) -> bool {
        self.tokens.load(Ordering::SeqCst) > 0
    }

    /// Notes that somebody ordered something that makes the agent ask the plane.
    pub fn ordered(&self) {
        self.orders.fetch_add(1, Ordering::SeqCst);
    }

    /// How often that was so.
    pub fn orders(&self) -> u32 {
        self.orders.load(Ordering::SeqCst)
    }

    /// What was seen so far.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        // Whoever panicked while it looked has told so.
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Forgets what was there: where a test puts an older state in its place.
    pub fn forgets(&self) {
        self.seen().forget();
    }

    /// Starts the agent, and waits until it says that it is ready.
    pub async fn start(&self) -> Agent<'_> {
        self.start_command(self.host().command(&["run"])).await
    }

    /// Starts it by a command that becomes it.
    pub async fn start_command(&self, command: Command) -> Agent<'_> {
        match self.launch(command).await {
            Ok(agent) => agent,
            Err(status) => panic!("the agent ended with {status} at its start:\n{}", self.host().log()),
        }
    }

    /// The same, where it may end before it is ready.
    pub async fn launch(&self, command: Command) -> Result<Agent<'_>, ExitStatus> {
        self.ordered();
        self.looks_on();
        let agent = self.host().launch(command).await?;
        if let Some(reader) = &mut *self.reader.lock().unwrap() {
            reader.follow(self.host(), agent.pid());
        }
        Ok(agent)
    }

    /// Has somebody look at the files from now on.
    pub fn looks_on(&self) {
        let mut reader = self.reader.lock().unwrap();
        if reader.is_none() {
            *reader = Some(Reader::of(self.host(), Arc::clone(&self.seen)));
        }
    }

    /// Ends the looking on.
    pub fn looks_away(&self) {
        *self.reader.lock().unwrap() = None;
    }
}

/// An address of the loopback interface that no other room has: a port that is only free for now could be taken before
/// the agent has it.
fn own_address() -> String {
    static ROOMS: AtomicU32 = AtomicU32::new(0);
    let room = ROOMS.fetch_add(1, Ordering::SeqCst);
    let [.., high, low] = room.to_be_bytes();
    format!("127.{}.{high}.{low}:8089", 1 + std::process::id() % 250)
}

/// An application with an API and a password.
pub fn application(name: &str, password: &str) -> Application {
    let credential = Some(Credential::Basic { username: "user".into(), password: password.into() });
    let api = ApiDefinition {
        name: "Orders API".into(),
        target_url: Some("https://orders.example.com/orders".into()),
        ..ApiDefinition::default()
    };
    let bundle = Bundle {
        name: "Orders".into(),
        api_definitions: vec![api],
        default_instance_auth: Some(Auth { credential, ..Auth::default() }),
        ..Bundle::default()
    };
    Application { name: name.into(), bundles: vec![bundle], ..Application::default() }
}

/// A rule by which a file is installed for each application, of which it can be seen whether it is whole.
fn installed(host: &Host) -> TemplateRule {
    let folder = host.path("etc");
    toml::from_str(&format!(
        r#"
        name = "installed"
        for_each = "application"
        destination = "{}/{{{{ application.slug }}}}.conf"
        content = "begin {{{{ application.slug }}}}\n{{% for line in range(200) %}}a line that others would find missing\n{{% endfor %}}end {{{{ application.slug }}}}\n"
        mode = "0644"
        "#,
        folder.display()
    ))
    .unwrap()
}

/// A rule by which a file with a password is kept with the generation.
fn kept() -> TemplateRule {
    toml::from_str(
        r#"
        name = "passwords"
        for_each = "credential"
        when = "credential.type == 'basic'"
        destination = "passwords/{{ application.slug }}-{{ bundle.slug }}"
        content = "{{ credential.password }}"
        "#,
    )
    .unwrap()
}
