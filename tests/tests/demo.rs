//! The demo, as a newcomer runs it: on a real Docker Engine and without any. It must show what it promises, end with
//! the right status, and leave nothing behind, however it ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use bollard::models::ContainerSummary;
use bollard::query_parameters::{ListContainersOptions, ListImagesOptions};
use rtmanager::adapters::docker::Endpoint;
use rtmanager_tests::dockerd::Dockerd;
use serde_json::{Value, json};

/// Widest line of the table.
const WIDTH: usize = 100;

struct Site {
    directory: tempfile::TempDir,
    host: String,
}

impl Site {
    fn on(dockerd: &Dockerd) -> Self {
        let Endpoint::Unix(socket) = dockerd.endpoint() else { panic!("the tests' engine has a unix socket") };
        Self { directory: tempfile::tempdir().unwrap(), host: format!("unix://{}", socket.display()) }
    }

    fn without_engine() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), host: "unix:///nonexistent/docker.sock".to_owned() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtmanager-cli"));
        command.args(arguments).env_clear().env("DOCKER_HOST", &self.host).env("TMPDIR", self.directory.path());
        command.current_dir(self.directory.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// A demo that is busy making containers, and what else it says.
    fn up_to_the_third_container(&self) -> (Child, BufReader<ChildStderr>) {
        let mut demo = self.command(&["demo"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(demo.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("chess-3") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "it ended before its third container");
        }
        (demo, said)
    }

    fn left_on_disk(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// The text without what differs between two runs.
    fn redacted(&self, text: &str) -> String {
        let text = text.replace(env!("CARGO_BIN_EXE_rtmanager-cli"), "PROGRAM").replace(&self.host, "ENDPOINT");
        text.lines().map(|line| redacted_line(line) + "\n").collect()
    }
}

/// Ids keep their width; times do not.
fn redacted_line(line: &str) -> String {
    let is_id = |word: &str| word.len() == 12 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let words = line.split(' ').map(|word| if is_id(word) { "CONTAINER_ID" } else { word }).collect::<Vec<_>>();
    let line = words.join(" ");
    let words: Vec<&str> = line.split(' ').collect();
    let mut redacted = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let is_time = words.get(index + 1).is_some_and(|unit| unit.trim_end_matches(';') == "ms");
        let after_engine = index > 0 && words[index - 1] == "Engine";
        let is_release = after_engine && word.starts_with(|first: char| first.is_ascii_digit());
        redacted.push(if is_time {
            "N"
        } else if is_release {
            "RELEASE"
        } else {
            word
        });
    }
    redacted.join(" ")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

async fn containers_of(dockerd: &Dockerd) -> Vec<ContainerSummary> {
    let all = ListContainersOptions { all: true, ..ListContainersOptions::default() };
    dockerd.docker().list_containers(Some(all)).await.unwrap()
}

/// Names of the demo's containers and images that an engine has.
async fn left_on(dockerd: &Dockerd) -> Vec<String> {
    let containers = containers_of(dockerd).await;
    let images = dockerd.docker().list_images(None::<ListImagesOptions>).await.unwrap();
    let names = containers.into_iter().flat_map(|container| container.names.unwrap_or_default());
    let tags = images.into_iter().flat_map(|image| image.repo_tags);
    names.chain(tags).filter(|name| name.contains("rtmanager-demo")).collect()
}

#[tokio::test]
async fn on_a_docker_engine_each_game_meets_its_fate_and_nothing_is_left() {
    let dockerd = Dockerd::start().await;
    let site = Site::on(&dockerd);
    let demo = site.run(&["demo"]);
    assert!(demo.status.success(), "{demo:?}");
    // Redacted first: where the program and the engine's socket lie is the user's choice, and as long as that.
    let told = site.redacted(text(&demo.stdout));
    assert!(told.lines().all(|line| line.chars().count() <= WIDTH), "{told}");
    insta::assert_snapshot!(told);
    assert_eq!(left_on(&dockerd).await, Vec::<String>::new());
    assert_eq!(site.left_on_disk(), Vec::<String>::new());
}

#[test]
fn without_an_engine_it_says_so_and_plays_the_same_in_memory() {
    let site = Site::without_engine();
    let demo = site.run(&["demo"]);
    assert!(demo.status.success(), "{demo:?}");
    insta::assert_snapshot!(site.redacted(text(&demo.stdout)));
    insta::assert_snapshot!(site.redacted(text(&demo.stderr)));
    assert_eq!(site.left_on_disk(), Vec::<String>::new());
}

#[test]
fn json_tells_the_same_to_programs() {
    let demo = Site::without_engine().run(&["demo", "--json"]);
    assert!(demo.status.success(), "{demo:?}");
    let view: Value = serde_json::from_slice(&demo.stdout).unwrap();
    assert_eq!(
        (&view["in_memory"], &view["unexpected"], &view["left_behind"]),
        (&json!(true), &json!([]), &json!(null))
    );
    let happened =
        |what: &str| view["games"].as_array().unwrap().iter().filter(|game| game["happened"] == what).count();
    let counts = ["kept", "removed", "closed", "held", "refused"].map(happened);
    assert_eq!(counts, [4, 4, 1, 1, 2], "{view}");
}

#[tokio::test]
async fn an_interrupted_demo_leaves_nothing_either() {
    let dockerd = Dockerd::start().await;
    let site = Site::on(&dockerd);
    let (mut demo, mut said) = site.up_to_the_third_container();
    assert!(!left_on(&dockerd).await.is_empty());
    assert!(Command::new("kill").args(["-s", "INT", &demo.id().to_string()]).status().unwrap().success());
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    let status = demo.wait().unwrap();
    assert_eq!(status.code(), Some(1), "{rest}");
    assert!(rest.contains("Left behind: nothing.") && rest.contains("because: interrupted"), "{rest}");
    assert_eq!(left_on(&dockerd).await, Vec::<String>::new());
    assert_eq!(site.left_on_disk(), Vec::<String>::new());
}

#[tokio::test]
async fn a_demo_whose_engine_dies_says_what_it_had_to_leave() {
    let mut dockerd = Dockerd::start().await;
    let site = Site::on(&dockerd);
    let (mut demo, mut said) = site.up_to_the_third_container();
    dockerd.kill();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(1), "{rest}");
    assert!(rest.contains("Left behind: rtmanager-demo-"), "{rest}");
    assert_eq!(site.left_on_disk(), Vec::<String>::new());
    // Containers outlive a killed engine; by a name with its prefix an operator finds what is left.
    dockerd.restart().await;
    assert!(left_on(&dockerd).await.len() > 3, "three containers and their image");
    for container in containers_of(&dockerd).await {
        dockerd.discard(&container.id.unwrap().parse().unwrap()).await;
    }
}

#[test]
fn a_configuration_of_ones_own_is_refused() {
    let demo = Site::without_engine().run(&["demo", "--set", "sweep.concurrency=2"]);
    assert_eq!(demo.status.code(), Some(2), "{demo:?}");
}
