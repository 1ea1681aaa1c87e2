//! Who calls: on a unix socket, whoever may open it; on TCP, whoever shows a token, under a name we serve. And whether
//! they may ask that much.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, HeaderMap};
use axum::http::uri::Authority;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::Services;
use super::allowance::{Allowances, Network, is_order};
use super::caller::Peer;
use super::held::held;
use super::problem::Problem;
use super::token_file::Token;
use crate::access::{Caller, Secret, Tokens, Trail};
use crate::ports::Clock;

/// How long a token that was valid is looked up although its address has failed too often.
const ACQUAINTED: Duration = Duration::from_secs(600);
/// And how many of them.
const MOST_ACQUAINTED: usize = 1_000;

/// What is checked of callers.
pub(super) struct Guard {
    /// The server's own token, if it listens on TCP.
    own: Option<Token>,
    tokens: Tokens,
    trail: Trail,
    allowed_hosts: Vec<String>,
    allowances: Allowances,
    acquainted: Acquainted,
}

impl Guard {
    pub(super) fn new(own: Option<Token>, services: &Services) -> Self {
        let (http, ports) = (&services.config.http, &services.ports);
        Self {
            own,
            tokens: services.tokens.clone(),
            trail: services.trail.clone(),
            allowed_hosts: http.allowed_hosts.clone(),
            allowances: Allowances::new(http, ports.clock.clone(), ports.metrics.clone()),
            acquainted: Acquainted { clock: ports.clock.clone(), seen: Mutex::default() },
        }
    }

    async fn identify(&self, peer: Option<Peer>, headers: &HeaderMap) -> Result<Caller, Problem> {
        let network = match peer {
            Some(Peer::Unix { uid }) => return Ok(Caller::admin(format!("unix:uid={uid}"))),
            Some(Peer::Tcp { network }) => network,
            None => return Err(Problem::internal("it is not known from where this comes")),
        };
        if !self.serves(headers) {
            let detail = "this name is not served here; http.allowed_hosts lists those that are";
            return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "misdirected_request", detail));
        }
        let Some(secret) = shown(headers) else { return Err(self.failed(network)) };
        // Its own opens it while the store is away, too.
        if self.own.as_ref().is_some_and(|own| own.is(&secret)) {
            return Ok(Caller::admin("token:file"));
        }
        // Whoever fails often costs the store nothing; and behind a proxy, where all have one address, shuts out nobody
        // who was let in lately.
        if !self.acquainted.knows(&secret) {
            self.allowances.shuts_out(network)?;
        }
        let verified = self.tokens.verify(&secret).await?;
        self.acquainted.note(&secret, verified.is_some());
        verified.ok_or_else(|| self.failed(network))
    }

    fn failed(&self, network: Network) -> Problem {
        self.allowances.fail(network).map_or_else(|too_often| too_often, |()| unauthorized())
    }

    fn serves(&self, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
        let plain = |authority: &Authority| !authority.as_str().contains('@');
        authority.filter(plain).is_some_and(|authority| {
            self.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(authority.host()))
        })
    }

    /// An order that was denied is in the trail before its caller is told; one too many is not, and is told so.
    async fn denied(&self, caller: &Caller, method: &Method, path: &str, response: Response) -> Response {
        if let Err(too_many) = self.allowances.deny(caller) {
            return too_many.into_response();
        }
        let needs = response.extensions().get::<Problem>().map(|problem| problem.detail.to_string());
        self.trail.denied(caller, format!("{method} {path}"), needs).await;
        response
    }
}

/// Tokens that were valid lately, by what is kept of them.
struct Acquainted {
    clock: Arc<dyn Clock>,
    seen: Mutex<HashMap<[u8; 32], Duration>>,
}

impl Acquainted {
    fn knows(&self, secret: &Secret) -> bool {
        let now = self.clock.monotonic();
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&secret.hash()).is_some_and(|at| now.saturating_sub(*at) < ACQUAINTED)
    }

    fn note(&self, secret: &Secret, is_valid: bool) {
        let now = self.clock.monotonic();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_valid {
            seen.remove(&secret.hash());
            return;
        }
        if seen.len() >= MOST_ACQUAINTED {
            seen.retain(|_, at| now.saturating_sub(*at) < ACQUAINTED);
        }
        if seen.len() < MOST_ACQUAINTED || seen.contains_key(&secret.hash()) {
            seen.insert(secret.hash(), now);
        }
    }
}

fn shown(headers: &HeaderMap) -> Option<Secret> {
    let (scheme, secret) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::parse(secret)).flatten()
}

/// Says no more than that, whatever is wrong with it.
fn unauthorized() -> Problem {
    let detail =
        "no bearer token that is valid; http.token_file holds the server's own, and `rtmanager token` makes others";
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
}

/// Lets nobody in of whom it is not known who they are, or who asks too much.
pub(super) async fn admit(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get().copied();
    match guard.identify(peer, request.headers()).await {
        Ok(caller) => {
            tracing::Span::current().record("actor", &caller.actor);
            let admitted = within(&guard, caller, request, next).await;
            admitted.unwrap_or_else(Problem::into_response)
        }
        Err(problem) => problem.into_response(),
    }
}

async fn within(guard: &Guard, caller: Caller, mut request: Request, next: Next) -> Result<Response, Problem> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let place = guard.allowances.enter(&caller, &method, &path)?;
    request.extensions_mut().insert(caller.clone());
    let response = next.run(request).await;
    let response = match response.status() {
        StatusCode::FORBIDDEN if is_order(&method) => guard.denied(&caller, &method, &path, response).await,
        _ => response,
    };
    Ok(held(response, place))
}
