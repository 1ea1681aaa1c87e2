//! What the log says of a run: enough to find it from the caller's side, from the platform's, and from the log's.

use rtmanager_tests::fake_engine::{Call, FakeEngine, Reply, container, container_id};
use serde_json::Value;

use super::desk::{Desk, Server};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PATH: &str = "/api/v1/internal/runtimes/g-1";

/// A server on an engine with one container, which the game `g-1` has stopped or runs in.
fn serve(desk: &Desk, engine: &FakeEngine, status: &str, settings: &[&str]) -> Server {
    let labels = [("rtmanager.owner", "rtmanager"), ("rtmanager.tenant", "default"), ("rtmanager.game", "g-1")];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    engine.on(Call::Inspect, [Reply::Json(200, container(&container_id(), "exited", &labels))]);
    engine.on(Call::Delete, [Reply::done()]);
    let host = format!("engines.local.host={}", host(engine));
    let server = desk.serve(&[&[host.as_str(), "discovery.enabled=false"], settings].concat());
    let body = serde_json::json!({"status": status, "container_id": container_id().as_str(), "image_ref": "img:1"});
    let put = desk.run(&["api", "PUT", PATH, "--data", &body.to_string()]);
    assert_eq!(put.status, 0, "{put:?}");
    server
}

fn host(engine: &FakeEngine) -> String {
    match engine.options().endpoint {
        rtmanager::adapters::docker::Endpoint::Unix(path) => format!("unix://{}", path.display()),
        other => panic!("{other:?}"),
    }
}

/// Asks for a cleanup as a service in a trace would, and answers with the run's line.
fn cleaned_up(desk: &Desk, server: &mut Server, request_id: &str) -> Value {
    use std::io::{Read as _, Write as _};
    let mut stream = std::os::unix::net::UnixStream::connect(desk.directory.path().join("api.sock")).unwrap();
    let request = format!(
        "DELETE {PATH}/container HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Request-Id: {request_id}\r\n\
         Traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream.read_to_string(&mut String::new()).unwrap();
    server.logged(|line| line["run_id"].is_string() && line["op_source"].is_string())
}

fn assert_is_of_the_request(line: &Value, request_id: &str) {
    assert_eq!((&line["game_id"], &line["op_source"]), (&"g-1".into(), &"admin_rest".into()), "{line}");
    assert_eq!(line["container_id"], container_id().as_str(), "{line}");
    assert_eq!(line["run_id"].as_str().unwrap().len(), 32, "{line}");
    let span = &line["span"];
    assert_eq!((&span["request_id"], &span["trace_id"]), (&request_id.into(), &TRACE.into()), "{line}");
    assert_eq!(span["span_id"], "00f067aa0ba902b7", "{line}");
    assert!(span["actor"].as_str().unwrap().starts_with("unix:uid="), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_and_its_replay_are_info_with_run_request_and_trace() {
    let (desk, engine) = (Desk::new(), FakeEngine::start());
    let mut server = serve(&desk, &engine, "stopped", &[]);
    let done = cleaned_up(&desk, &mut server, "req-1");
    assert_is_of_the_request(&done, "req-1");
    assert_eq!((&done["level"], &done["error_code"]), (&"INFO".into(), &Value::Null), "{done}");

    let replayed = cleaned_up(&desk, &mut server, "req-2");
    assert_eq!((&replayed["level"], &replayed["error_code"]), (&"INFO".into(), &"replay_no_op".into()), "{replayed}");
    assert_eq!(replayed["span"]["request_id"], "req-2", "{replayed}");
    assert_ne!(replayed["run_id"], done["run_id"]);
    let logged = desk.run(&["--json", "operations"]).json();
    assert_eq!((&logged["items"][1]["run_id"], &logged["items"][1]["source_ref"]), (&done["run_id"], &"req-1".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_a_warning_that_keeps_its_request_under_any_filter() {
    for filter in ["log.filter=info", "log.filter=warn,rtmanager::cli=info"] {
        let (desk, engine) = (Desk::new(), FakeEngine::start());
        let mut server = serve(&desk, &engine, "running", &[filter]);
        let failed = cleaned_up(&desk, &mut server, "req-3");
        assert_is_of_the_request(&failed, "req-3");
        assert_eq!((&failed["level"], &failed["error_code"]), (&"WARN".into(), &"conflict".into()), "{failed}");
        assert!(failed["error_message"].as_str().unwrap().contains("stop"), "{failed}");
    }
}
