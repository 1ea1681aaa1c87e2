//! Builds the policy written in C: generates the bindings, compiles with clang, makes a component of it.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;
use wit_component::ComponentEncoder;

/// What Debian calls the compiler, the linker, the C library and the compiler's own library.
const PACKAGES: &str = "clang lld wasi-libc libclang-rt-dev-wasm32";

/// The same small stack as the Rust policies have, at the bottom, where an overflow traps.
const LINK: [&str; 4] = ["-mexec-model=reactor", "-Wl,-z,stack-size=65536", "-Wl,--stack-first", "-Wl,--strip-all"];

pub(crate) fn component(root: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let source = root.join("tests/fixtures/c-policy/policy.c");
    for input in [root.join("wit"), source.clone()] {
        println!("cargo::rerun-if-changed={}", input.display());
    }
    let out_dir = PathBuf::from(env::var("OUT_DIR")?).join("c-policy");
    fs::create_dir_all(&out_dir)?;
    generate(&root.join("wit"), &out_dir)?;
    let module = compile(&source, &out_dir)?;
    let component = ComponentEncoder::default().validate(true).module(&fs::read(module)?)?.encode()?;
    let path = out_dir.join("c_policy.wasm");
    fs::write(&path, component)?;
    Ok(path)
}

fn generate(wit: &Path, out_dir: &Path) -> Result<(), Box<dyn Error>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit)?;
    let world = resolve.select_world(&[package], Some("lifecycle-policy"))?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default().build().generate(&mut resolve, world, &mut files)?;
    for (name, contents) in files.iter() {
        fs::write(out_dir.join(name), contents)?;
    }
    Ok(())
}

fn compile(source: &Path, out_dir: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let module = out_dir.join("module.wasm");
    let built = Command::new("clang")
        .args(["--target=wasm32-wasi", "-O2", "-Wall", "-Wextra", "-Werror"])
        .args(LINK)
        .arg("-I")
        .arg(out_dir)
        .arg(source)
        .args([out_dir.join("lifecycle_policy.c"), out_dir.join("lifecycle_policy_component_type.o")])
        .arg("-o")
        .arg(&module)
        .status();
    match built {
        Ok(status) if status.success() => Ok(module),
        Ok(_) => Err(format!("the policy in C does not build; it needs: apt-get install {PACKAGES}").into()),
        Err(error) => Err(format!("clang does not run ({error}); apt-get install {PACKAGES}").into()),
    }
}
