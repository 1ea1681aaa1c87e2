//! The image as the Containerfile's last stage makes it, without pulling what it starts from.

use std::fs;
use std::path::Path;
use std::process::Command;

use bollard::query_parameters::{CreateImageOptions, LogsOptions};
use futures_util::{StreamExt as _, TryStreamExt as _};
use rtmanager::model::ContainerId;
use rtmanager_tests::dockerd::Dockerd;

pub const NAME: &str = "rtmanager-image:1";
const CONTAINERFILE: &str = include_str!("../../../host/deploy/Containerfile");

/// A root, and what the image says of itself.
pub struct Image {
    tar: Vec<u8>,
    changes: Vec<String>,
}

impl Image {
    pub fn from_the_containerfile() -> Self {
        let (_, last_stage) = CONTAINERFILE.rsplit_once("\nFROM ").unwrap();
        let (base, instructions) = last_stage.split_once('\n').unwrap();
        assert_eq!(base, "gcr.io/distroless/cc-debian12:nonroot", "its stand-in is made below");
        let root = tempfile::tempdir().unwrap();
        stand_in_for_the_base(root.path());
        let mut changes = Vec::new();
        for line in instructions.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match line.split_once(' ').unwrap() {
                ("COPY", what) => copy(root.path(), what),
                ("ENV" | "USER" | "ENTRYPOINT" | "CMD" | "HEALTHCHECK", _) => changes.push(line.to_owned()),
                (other, _) => panic!("{other} is not known here"),
            }
        }
        let tar = Command::new("tar").args(["-c", "-C"]).arg(root.path()).arg(".").output().unwrap();
        assert!(tar.status.success(), "tar: {}", String::from_utf8_lossy(&tar.stderr));
        Self { tar: tar.stdout, changes }
    }

    pub async fn import_to(&self, dockerd: &Dockerd) {
        let options = CreateImageOptions {
            from_src: Some("-".to_owned()),
            repo: Some(NAME.to_owned()),
            changes: self.changes.clone(),
            ..CreateImageOptions::default()
        };
        let body = bollard::body_full(self.tar.clone().into());
        let steps = dockerd.docker().create_image(Some(options), Some(body), None);
        steps.try_collect::<Vec<_>>().await.expect("the image to be imported");
    }
}

/// What a binary that is linked with glibc needs: all that it has of its base.
fn stand_in_for_the_base(root: &Path) {
    let told = Command::new("ldd").arg(env!("CARGO_BIN_EXE_rtmanager-cli")).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    for library in told.split_whitespace().filter(|word| word.starts_with('/')) {
        let place = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(library, place).unwrap();
    }
}

/// `--from=build ...` from where the builder makes it, to where it belongs.
fn copy(root: &Path, what: &str) {
    let words: Vec<_> = what.split(' ').collect();
    let (flags, paths) = words.split_at(words.iter().position(|word| !word.starts_with("--")).unwrap());
    let [from, to] = paths else { panic!("COPY {what}") };
    let place = root.join(to.trim_start_matches('/'));
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    match *from {
        "/src/target/release/rtmanager" => {
            let stripped =
                Command::new("strip").arg("-o").arg(&place).arg(env!("CARGO_BIN_EXE_rtmanager-cli")).status();
            assert!(stripped.unwrap().success());
        }
        "/state" => {
            fs::create_dir(&place).unwrap();
            assert!(flags.contains(&"--chown=65532:65532") && flags.contains(&"--chmod=0700"), "{flags:?}");
        }
        other => panic!("the builder makes no {other}"),
    }
}

pub async fn logs(dockerd: &Dockerd, id: &ContainerId) -> String {
    let options = LogsOptions { stdout: true, stderr: true, ..LogsOptions::default() };
    let lines = dockerd.docker().logs(id.as_str(), Some(options));
    let lines: Vec<_> =
        lines.map(|line| line.map_or_else(|error| error.to_string(), |line| line.to_string())).collect().await;
    let state = dockerd.docker().inspect_container(id.as_str(), None).await.map(|found| found.state);
    format!("{state:?}\n{}", lines.concat())
}
