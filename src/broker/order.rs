//! What clients ask of the broker, and what they are answered, in the words of the specification but without HTTP.
//!
//! The requests are judged by the one loop that holds the store, so two that meet are judged one after the other.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::overview::Overview;
use super::record::{Offer, Operation, SecretText};
use crate::ids::{ServiceBindingId, ServiceInstanceId};
use crate::snapshot::Sha256;

/// What a service or plan is called in a request, whatever that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// `service_id`.
    pub service: String,
    /// `plan_id`.
    pub plan: String,
}

/// Whether a client takes `202 Accepted` for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It does (`accepts_incomplete=true`), and asks later what came of it.
    LooksLater,
    /// It waits for the end.
    Waits,
}

/// What an instance is to be made with.
#[derive(Debug, Clone)]
pub struct Provision {
    /// Of what.
    pub wanted: Wanted,
    /// Everything else that it is made with, by its digest.
    pub attributes: Sha256,
}

/// What a binding is to be made with.
#[derive(Debug, Clone)]
pub struct Bind {
    /// Of what.
    pub wanted: Wanted,
    /// The parameters for the application, a JSON object.
    pub parameters: Option<SecretText>,
    /// Everything else, and the parameters, by their digest.
    pub attributes: Sha256,
    /// The binding that this one is to replace.
    pub predecessor: Option<ServiceBindingId>,
    /// Whether the client can wait.
    pub patience: Patience,
}

/// Whether something was made by this request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// By this one.
    Now,
    /// By an earlier one that said the same.
    Before,
}

/// The answer to a request for a binding.
#[derive(Debug, Clone)]
pub enum Bound {
    /// It is there.
    Here {
        /// Since this request or an earlier one.
        made: Made,
        /// The body of the answer, a JSON object: `credentials`, and what the specification has beside it.
        body: SecretText,
    },
    /// It is being made.
    UnderWay(Operation),
}

/// The answer to the wish to give a binding back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unbound {
    /// It is gone.
    Gone,
    /// It is going.
    UnderWay(Operation),
}

/// Where the last operation on something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastOperation {
    /// In one word.
    pub state: OperationState,
    /// In a sentence.
    pub description: String,
    /// When it is worth asking again.
    pub ask_again_in: Option<Duration>,
}

/// The specification's words for where an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationState {
    /// It is under way.
    InProgress,
    /// It went well.
    Succeeded,
    /// It did not.
    Failed,
}

impl OperationState {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in progress",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

/// Why a request is not granted. What it asked for is then not done, but where it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The request makes no sense, or the plane says so.
    #[error("{0}")]
    BadRequest(String),
    /// There is something else by that name.
    #[error("{0}")]
    Conflict(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// There is no such thing any more, or there never was.
    #[error("{0}")]
    Gone(String),
    /// This takes time, and the client would not wait.
    #[error("{0}")]
    AsyncRequired(String),
    /// Something else is being done with it.
    #[error("{0}")]
    Concurrency(String),
    /// The plane does not do that.
    #[error("{0}")]
    Unsupported(String),
    /// There are too many already.
    #[error("{0}")]
    TooMany(String),
    /// It cannot be done now. Whether it was done in part, the sentence says.
    #[error("{why}")]
    Unavailable {
        /// A sentence.
        why: String,
        /// When it is worth asking again.
        ask_again_in: Option<Duration>,
    },
    /// It cannot be written down, so it is not done.
    #[error("{0}")]
    Store(String),
}

/// Where an answer goes.
pub type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// One request.
#[derive(Debug)]
pub enum Order {
    /// Make an instance.
    Provision(ServiceInstanceId, Provision, Reply<Made>),
    /// Tell of an instance.
    Instance(ServiceInstanceId, Reply<Offer>),
    /// Whether an instance may be changed to this plan; nothing else of it can be.
    Update(ServiceInstanceId, Option<Wanted>, Reply<()>),
    /// Remove an instance.
    Deprovision(ServiceInstanceId, Wanted, Reply<()>),
    /// Make a binding.
    Bind(ServiceInstanceId, ServiceBindingId, Bind, Reply<Bound>),
    /// Tell of a binding: the body of the answer, a JSON object.
    Binding(ServiceInstanceId, ServiceBindingId, Reply<SecretText>),
    /// Give a binding back.
    Unbind(ServiceInstanceId, ServiceBindingId, Wanted, Patience, Reply<Unbound>),
    /// Tell what came of the last operation on a binding.
    LastOperation(ServiceInstanceId, ServiceBindingId, Reply<LastOperation>),
    /// Tell of everything, for people.
    Overview(Reply<Arc<Overview>>),
}

/// The way to the broker.
#[derive(Debug, Clone)]
pub struct Broker {
    orders: mpsc::Sender<Order>,
}

impl Broker {
    /// The way to whoever takes the orders.
    pub fn new(orders: mpsc::Sender<Order>) -> Self {
        Self { orders }
    }

    /// Hands over a request, and waits for its answer.
    ///
    /// # Errors
    /// When it is not granted, or the agent ends.
    pub async fn ask<T>(&self, order: impl FnOnce(Reply<T>) -> Order) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let ends = || Refusal::Unavailable { why: "The agent is ending.".into(), ask_again_in: None };
        self.orders.send(order(reply)).await.map_err(|_| ends())?;
        answer.await.unwrap_or_else(|_| Err(ends()))
    }
}
