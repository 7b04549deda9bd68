//! Listening sockets, handshakes, and the connections that follow.

use std::{fmt, net::Ipv4Addr, sync::Arc, time::Duration};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::CertificateDer,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::{
    Urls,
    exchange::{self, Connection},
    verifier::Verifier,
    wire::{Cut, Wire},
};
use crate::{Endpoint, Error, Options, schema::Schemas, state::Shared};

/// How long accepting pauses after a failure, so that a lack of descriptors does not become a lack of CPU.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// The sockets, bound before anything is served, so that the addresses are known.
pub(crate) struct Listeners {
    sockets: Vec<(Endpoint, TcpListener)>,
    pub(crate) admin: TcpListener,
    pub(crate) urls: Urls,
}

impl Listeners {
    pub(crate) async fn bind(options: &Options) -> Result<Self, Error> {
        let mut sockets = Vec::new();
        let mut urls = Vec::new();
        for (place, endpoint) in (0..).zip(Endpoint::ALL) {
            let socket = bind(options.port_base, place).await?;
            let port = socket.local_addr().map_err(Error::io("A socket has no address"))?.port();
            urls.push(format!("https://{}:{port}{}", options.host, endpoint.path()));
            sockets.push((endpoint, socket));
        }
        let admin = bind(options.port_base, 3).await?;
        let mut urls = urls.into_iter();
        let mut next = || urls.next().unwrap_or_default();
        let urls = Urls { connector: next(), secured_connector: next(), director: next() };
        Ok(Self { sockets, admin, urls })
    }
}

async fn bind(base: u16, place: u16) -> Result<TcpListener, Error> {
    let port = if base == 0 { 0 } else { base.saturating_add(place) };
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(Error::io(format!("Port {port} cannot be bound")))
}

/// Serves the three endpoints; ends when the set is dropped.
pub(crate) fn serve(
    tasks: &mut JoinSet<()>,
    sockets: Listeners,
    shared: &Arc<Shared>,
    schemas: &Arc<Schemas>,
) -> Result<TcpListener, Error> {
    for (endpoint, socket) in sockets.sockets {
        let tls = TlsAcceptor::from(Arc::new(config(endpoint, shared)?));
        tasks.spawn(accept(socket, endpoint, tls, Arc::clone(shared), Arc::clone(schemas)));
    }
    Ok(sockets.admin)
}

async fn accept(socket: TcpListener, endpoint: Endpoint, tls: TlsAcceptor, shared: Arc<Shared>, schemas: Arc<Schemas>) {
    // Dropped with this task, and all connections with it.
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, _)) => stream,
                // The peer was gone, or there are no descriptors; either way the next may succeed.
                Err(_) => {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        let number = shared.note(|state| state.log.connected(endpoint));
        if shared.read(|state| !state.faults.list().is_empty())
            && shared.note(|state| state.faults.take_refusal(endpoint))
        {
            let _ = stream.set_zero_linger();
            continue;
        }
        connections.spawn(connection(stream, number, endpoint, tls.clone(), Arc::clone(&shared), Arc::clone(&schemas)));
    }
}

async fn connection(
    stream: TcpStream,
    number: u64,
    endpoint: Endpoint,
    tls: TlsAcceptor,
    shared: Arc<Shared>,
    schemas: Arc<Schemas>,
) {
    let _ = stream.set_nodelay(true);
    let cut = Cut::default();
    let stream = match tls.accept(Wire::new(stream, cut.clone())).await {
        Ok(stream) => stream,
        Err(error) => {
            shared.note(|state| state.log.handshake_failed(endpoint, error.to_string()));
            return;
        }
    };
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificates: Vec<CertificateDer<'static>> = certificates.iter().map(|one| one.clone().into_owned()).collect();
    let connection = Arc::new(Connection::new(number, endpoint, certificates, cut.clone(), shared, schemas));
    let service = service_fn(move |request| exchange::answer(Arc::clone(&connection), request));
    let builder = auto::Builder::new(TokioExecutor::new());
    tokio::select! {
        // How a connection ends is the peer's choice or a fault's.
        _ = builder.serve_connection(TokioIo::new(stream), service) => {}
        () = cut.done() => {}
    }
}

fn config(endpoint: Endpoint, shared: &Arc<Shared>) -> Result<ServerConfig, Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?;
    let builder = if endpoint.wants_certificate() {
        builder.with_client_cert_verifier(Arc::new(Verifier(Arc::clone(shared))))
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_cert_resolver(Arc::new(Resolver { endpoint, shared: Arc::clone(shared) }));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if !shared.read(|state| state.options.session_resumption) {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

/// Shows the certificate that the faults of the moment ask for.
struct Resolver {
    endpoint: Endpoint,
    shared: Arc<Shared>,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let shown = self.shared.note(|state| state.faults.take_certificate(self.endpoint));
        Some(self.shared.server_certificates.choose(shown))
    }
}
