//! Who calls: on a unix socket, whoever may open it; on TCP, whoever shows a token, under a name we serve.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, HOST, HeaderMap};
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::caller::Peer;
use super::problem::Problem;
use super::token_file::Token;
use crate::access::{Caller, Secret, Tokens};

/// What is checked of callers.
#[derive(Clone)]
pub(super) struct Guard {
    /// The server's own token, if it listens on TCP.
    pub own: Option<Token>,
    pub tokens: Tokens,
    pub allowed_hosts: Vec<String>,
}

impl Guard {
    async fn identify(&self, peer: Option<Peer>, headers: &HeaderMap) -> Result<Caller, Problem> {
        if let Some(Peer::Unix { uid }) = peer {
            return Ok(Caller::admin(format!("unix:uid={uid}")));
        }
        if !self.serves(headers) {
            let detail = "this name is not served here; http.allowed_hosts lists those that are";
            return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "misdirected_request", detail));
        }
        let Some(secret) = shown(headers) else { return Err(unauthorized()) };
        // Its own opens it while the store is away, too.
        if self.own.as_ref().is_some_and(|own| own.is(&secret)) {
            return Ok(Caller::admin("token:file"));
        }
        self.tokens.verify(&secret).await?.ok_or_else(unauthorized)
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

/// Lets nobody in of whom it is not known who they are.
pub(super) async fn admit(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get().copied();
    match guard.identify(peer, request.headers()).await {
        Ok(caller) => {
            tracing::Span::current().record("actor", &caller.actor);
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}
