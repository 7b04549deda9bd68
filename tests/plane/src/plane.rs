//! A running plane: starting it, and ending it by dropping it.

use std::{ops::Deref, sync::Arc};

use tokio::task::JoinSet;

use crate::{
    Control, Error, Options, State,
    authority::{ClientAuthority, ServerCertificates},
    schema::Schemas,
    serve::{self, Listeners},
    state::Shared,
};

/// A running plane; dropping it ends it, with all its connections.
pub struct Plane {
    control: Control,
    _tasks: JoinSet<()>,
}

impl Plane {
    /// Starts a plane; its three endpoints and its administration listen when this returns.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let listeners = Listeners::bind(&options).await?;
        let (authority, servers) = blocking(|| Ok((ClientAuthority::new()?, ServerCertificates::new()?))).await?;
        let tenant = uuid::Uuid::new_v4().to_string();
        let mut state = State::new(options, Arc::new(authority))?;
        state.model.tenants.insert(tenant.clone());
        let admin_url = listeners.admin.local_addr().map(|address| format!("http://{address}"));
        let admin_url = admin_url.map_err(Error::io("A socket has no address"))?;
        let shared = Arc::new(Shared::new(state, servers, listeners.urls.clone()));
        let control = Control::new(Arc::clone(&shared), &tenant, &admin_url);
        let mut tasks = JoinSet::new();
        let admin = serve::serve(&mut tasks, listeners, &shared, &Arc::new(Schemas::new()?))?;
        tasks.spawn(crate::admin::serve(admin, control.clone()));
        Ok(Self { control, _tasks: tasks })
    }

    /// What drives this plane; it can be cloned and does not keep it alive.
    pub fn control(&self) -> Control {
        self.control.clone()
    }
}

impl Deref for Plane {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.control
    }
}

/// Runs work that computes for long, such as the making of RSA keys.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::Certificates(error.to_string())),
    }
}
