//! Builds a policy, a component for wasm32-wasip2, from within a build script.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const TARGET: &str = "wasm32-wasip2";

/// Fast: at this size, optimising for size saves nothing. No unwinding, since a panic ends the instance.
const PROFILE: [(&str, &str); 5] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3"),
    ("CARGO_PROFILE_RELEASE_LTO", "fat"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
    ("CARGO_PROFILE_RELEASE_STRIP", "true"),
];

/// A fresh instance costs what its memory costs: 64 KiB of stack instead of the default 1 MiB.
const LINK: &str = "-Clink-arg=-zstack-size=65536";

/// What the outer cargo was told about flags, wrappers and targets holds for the host only.
const NOT_INHERITED: [&str; 10] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_RUSTC_WRAPPER",
    "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
    "CLIPPY_ARGS",
];

/// Builds the package of the workspace at `root` by a cargo of its own, with its own target directory (the
/// outer one is locked), and answers the component's path. Builds again when one of `inputs` changes.
pub(crate) fn component(root: &Path, package: &str, inputs: &[&str]) -> Result<PathBuf, Box<dyn Error>> {
    for input in ["wit", "Cargo.toml", "Cargo.lock"].iter().chain(inputs) {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    let target_dir = Path::new(&env::var("OUT_DIR")?).join("policies");
    let built = command(root, package, &target_dir)?.status()?.success();
    match (built, target_installed()) {
        (true, _) => Ok(fs::canonicalize(target_dir.join(TARGET).join("release").join(file_name(package)))?),
        (false, true) => Err(format!("{package} does not build; see the messages of the nested cargo").into()),
        (false, false) => Err(format!("the target {TARGET} is missing; run: rustup target add {TARGET}").into()),
    }
}

fn command(root: &Path, package: &str, target_dir: &Path) -> Result<Command, Box<dyn Error>> {
    let mut cargo = Command::new(env::var("CARGO")?);
    for (name, _) in env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("CARGO_PROFILE_") || NOT_INHERITED.contains(&name_text.as_ref()) {
            cargo.env_remove(&name);
        }
    }
    cargo
        .current_dir(root)
        .args(["build", "--package", package, "--lib", "--release", "--locked", "--target", TARGET])
        .arg("--target-dir")
        .arg(target_dir)
        .env("CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS", LINK)
        .envs(PROFILE);
    Ok(cargo)
}

fn file_name(package: &str) -> String {
    format!("{}.wasm", package.replace('-', "_"))
}

fn target_installed() -> bool {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let libdir = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    libdir.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}
