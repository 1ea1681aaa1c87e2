//! The server as a process: how it ends.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::desk::Desk;

#[test]
fn a_server_answers_on_its_socket_and_drains_on_sigterm() {
    let desk = Desk::new();
    let mut server = desk.serve(&[]);
    let mut stream = UnixStream::connect(desk.directory.path().join("api.sock")).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answered = String::new();
    stream.read_to_string(&mut answered).unwrap();
    assert!(answered.starts_with("HTTP/1.1 200 OK"), "{answered:?}");

    server.signal("TERM");
    let stopped = server.logged(|line| line["message"] == "stopped");
    assert_eq!((&stopped["requests_finished"], &stopped["runs_finished"]), (&true.into(), &true.into()));
    assert_eq!(server.ended(), Some(0));
    assert!(!desk.directory.path().join("api.sock").exists());
}

#[test]
fn a_second_signal_ends_a_drain_at_once() {
    let desk = Desk::new();
    let mut server = desk.serve(&["http.drain_time=1h", "http.body_time=1m"]);
    let mut stream = UnixStream::connect(desk.directory.path().join("api.sock")).unwrap();
    // A request under way, whose body does not come.
    let head = "PUT /api/v1/internal/runtimes/g-1 HTTP/1.1\r\nHost: localhost\r\n\
                Content-Type: application/json\r\nContent-Length: 20\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut begun = [0; 12];
    stream.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 100");

    server.signal("TERM");
    let draining = server.logged(|line| line["signal"] == "SIGTERM");
    assert_eq!(draining["level"], "INFO");
    let began = Instant::now();
    server.signal("INT");
    let cut_short = server.logged(|line| line["signal"] == "SIGINT");
    assert_eq!(cut_short["level"], "WARN");
    assert_eq!(server.ended(), Some(1));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
