//! Who we are to a registry, as it wants to be told: not at all, by a password, or by a token that is had for one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_auth::parser::ChallengeParser;
use hyper::header::{HeaderValue, WWW_AUTHENTICATE};
use oci_client::secrets::RegistryAuth;
use oci_client::token_cache::RegistryToken;
use oci_client::{Reference, RegistryOperation};
use reqwest::StatusCode;

use super::DistributionError;
use super::wire::{self, Wire};

/// Tokens have some kilobytes.
const LONGEST_TOKEN: u64 = 256 << 10;

/// Where tokens are given, and for what.
struct Realm {
    address: String,
    service: Option<String>,
}

impl Wire {
    /// Asks the registry how it wants to be told who we are, and is ready to. What the client library has to be given to do
    /// the same.
    pub(super) async fn log_in(
        &self,
        reference: &Reference,
        auth: &RegistryAuth,
        operation: RegistryOperation,
    ) -> Result<RegistryAuth, DistributionError> {
        let answer = self.ask(reference, "").await?;
        let Some(challenge) = answer.headers().get(WWW_AUTHENTICATE).cloned() else {
            return Ok(RegistryAuth::Anonymous);
        };
        let Some(realm) = realm(&challenge) else {
            self.told(header(basic(auth)));
            return Ok(auth.clone());
        };
        let token = self.token(reference, auth, operation, &realm).await?;
        let unusable = || protocol(reference, "it gives a token that no header can hold");
        self.told(Some(header(Some(format!("Bearer {token}"))).ok_or_else(unusable)?));
        Ok(RegistryAuth::Bearer(token))
    }

    /// From now on it is told so. It is asked once, and what was settled then stays.
    fn told(&self, authorization: Option<HeaderValue>) {
        if let Some(authorization) = authorization {
            self.authorization.get_or_init(|| authorization);
        }
    }

    async fn token(
        &self,
        reference: &Reference,
        auth: &RegistryAuth,
        operation: RegistryOperation,
        realm: &Realm,
    ) -> Result<String, DistributionError> {
        let told = header(basic(auth));
        // A registry behind TLS does not get to send the password where it would be read.
        if told.is_some() && self.base.starts_with("https:") && !realm.address.starts_with("https:") {
            return Err(protocol(reference, "it wants the password to be sent without TLS"));
        }
        let actions = if operation == RegistryOperation::Push { "pull,push" } else { "pull" };
        let scope = format!("repository:{}:{actions}", reference.repository());
        let mut request = self.http.get(&realm.address).query(&[("scope", &scope)]);
        if let Some(service) = &realm.service {
            request = request.query(&[("service", service)]);
        }
        if let Some(told) = told {
            request = request.header(hyper::header::AUTHORIZATION, told);
        }
        let answer = request.send().await;
        let answer = answer.map_err(|error| DistributionError::of_request(reference.registry().to_owned(), error))?;
        match answer.status() {
            StatusCode::OK => {
                let body = wire::whole(reference, answer, "a token", LONGEST_TOKEN).await?;
                // What it gave instead may be as secret as a token, and is not told.
                let token = serde_json::from_slice(&body).map(|token: RegistryToken| token.token().to_owned());
                token.map_err(|_| protocol(reference, "what it gives for a token is none"))
            }
            status if status.is_client_error() => {
                Err(DistributionError::of(reference, wire::refusal(StatusCode::UNAUTHORIZED, &[])))
            }
            status => Err(DistributionError::of(reference, wire::refusal(status, b"no token is given"))),
        }
    }
}

fn protocol(reference: &Reference, what: &'static str) -> DistributionError {
    DistributionError::Protocol { registry: reference.registry().to_owned(), source: what.into() }
}

fn basic(auth: &RegistryAuth) -> Option<String> {
    match auth {
        RegistryAuth::Basic(user, password) => Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))),
        RegistryAuth::Bearer(_) | RegistryAuth::Anonymous => None,
    }
}

fn header(value: Option<String>) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&value?).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Where tokens are given; none if the registry wants no token.
fn realm(challenge: &HeaderValue) -> Option<Realm> {
    let bearer = ChallengeParser::new(challenge.to_str().ok()?)
        .filter_map(Result::ok)
        .find(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer"))?;
    let parameter = |wanted: &str| {
        let found = bearer.params.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.to_unescaped())
    };
    Some(Realm { address: parameter("realm")?, service: parameter("service") })
}
