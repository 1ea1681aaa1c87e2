//! One request to the running server, as `curl` would make it, but by the configured way in: the unix
//! socket, or TCP with the token of the server's own file.

use std::error::Error as StdError;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use clap::Args;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::{Answer, Error};
use crate::api::Token;
use crate::config::{Http, Listen};

/// Where a path without a leading slash is looked for.
const BASE: &str = "/api/v1/internal/";

/// The server bounds its pages; what is longer than this is not one of them.
const LONGEST_ANSWER: usize = 64 << 20;

/// For the way there and back, beside the time that the server takes for itself.
const GRACE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct Call {
    /// GET, PUT or DELETE
    #[arg(value_parser = method)]
    method: Method,
    /// A path such as /readyz; without a leading slash, one below /api/v1/internal/, such as runtimes/game-42
    path: String,
    /// A JSON body: as it is, from a file as @FILE, or from the standard input as -
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    data: Option<String>,
}

fn method(text: &str) -> Result<Method, &'static str> {
    let method = Method::from_bytes(text.to_ascii_uppercase().as_bytes());
    method.ok().filter(|method| *method != Method::CONNECT).ok_or("must be a method such as GET")
}

/// Why the server gave no answer.
pub(super) type Unreachable = Box<dyn StdError + Send + Sync>;

pub(super) async fn call(http: &Http, call: Call) -> Result<Answer, Error> {
    let request = request(http, call)?;
    let unreachable = |source| Error::Unreachable { listen: http.listen.clone(), source };
    let limit = http.request_time + GRACE;
    let answered = tokio::time::timeout(limit, answer(&http.listen, request)).await;
    let answered = answered.unwrap_or_else(|_| Err(format!("no answer within {limit:?}").into()));
    let (status, mut text) = answered.map_err(unreachable)?;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(Answer { text, status: exit_status(status) })
}

fn request(http: &Http, call: Call) -> Result<Request<Body>, Error> {
    let path = if call.path.starts_with('/') { call.path } else { format!("{BASE}{}", call.path) };
    let uri: Uri = path.parse().map_err(|error| Error::Usage(format!("{path:?} is no path: {error}")))?;
    let body = call.data.map(|data| body(&data, http.max_body_bytes)).transpose()?;
    // Any name that is served will do.
    let host = http.allowed_hosts.first().map_or("localhost", String::as_str);
    let mut request = Request::builder().method(call.method).uri(uri).header(HOST, host);
    if body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    if let Listen::Tcp(_) = http.listen {
        let token = Token::load(&http.token_file)?;
        request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose()));
    }
    let request = request.body(body.map_or_else(Body::empty, Body::from));
    request.map_err(|error| Error::Usage(format!("this is no request: {error}")))
}

/// What the server would refuse is not sent: it would answer and hang up before it has read it all, and a
/// connection that is cut while we write may take the answer with it.
fn body(data: &str, max_bytes: usize) -> Result<Vec<u8>, Error> {
    let read = |source: &mut dyn Read| {
        let mut bytes = Vec::new();
        source.take(max_bytes as u64 + 1).read_to_end(&mut bytes).map(|_| bytes)
    };
    let bytes = match (data, data.strip_prefix('@')) {
        ("-", _) => read(&mut io::stdin().lock()),
        (_, Some(path)) => File::open(path).and_then(|mut file| read(&mut file)),
        (json, None) => Ok(json.as_bytes().to_vec()),
    };
    let bytes = bytes.map_err(|error| Error::Usage(format!("--data {data:?} cannot be read: {error}")))?;
    if bytes.len() > max_bytes {
        return Err(Error::Usage(format!("--data is larger than {max_bytes} bytes (http.max_body_bytes)")));
    }
    Ok(bytes)
}

async fn answer(listen: &Listen, request: Request<Body>) -> Result<(StatusCode, String), Unreachable> {
    match listen {
        Listen::Unix(path) => exchange(UnixStream::connect(path).await?, request).await,
        Listen::Tcp(address) => exchange(TcpStream::connect(reachable(*address)).await?, request).await,
    }
}

/// A server that listens on every address is reached by loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn exchange<S>(stream: S, request: Request<Body>) -> Result<(StatusCode, String), Unreachable>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let exchanged = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = to_bytes(Body::new(response.into_body()), LONGEST_ANSWER).await?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    // The connection does the reading and writing; it has nothing to say once the answer is here.
    tokio::select! {
        answer = exchanged => answer,
        Err(error) = connection => Err(error.into()),
    }
}

fn exit_status(status: StatusCode) -> u8 {
    match status {
        status if status.is_success() => 0,
        StatusCode::NOT_FOUND | StatusCode::CONFLICT => 4,
        StatusCode::SERVICE_UNAVAILABLE => 3,
        status if status.is_client_error() => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_goes_by_the_answers() {
        let statuses = [200, 204, 400, 401, 403, 404, 405, 409, 413, 421, 500, 503];
        let exits = statuses.map(|status| exit_status(StatusCode::from_u16(status).unwrap()));
        assert_eq!(exits, [0, 0, 2, 2, 2, 4, 2, 4, 2, 2, 1, 3]);
    }

    #[test]
    fn a_server_on_every_address_is_reached_by_loopback() {
        let reached = |listen: &str| reachable(listen.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:7070"), "127.0.0.1:7070");
        assert_eq!(reached("[::]:7070"), "[::1]:7070");
        assert_eq!(reached("192.0.2.7:7070"), "192.0.2.7:7070");
    }
}
