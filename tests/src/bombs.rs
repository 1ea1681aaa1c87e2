//! Components that are made to cost whoever looks at them, and honest ones of a size.

#![allow(clippy::expect_used, reason = "the texts are constants")]

use std::fmt::Write as _;

/// The component with a custom section behind it, so that it has exactly `bytes` bytes: its length takes five digits.
pub fn padded(component: &[u8], bytes: usize) -> Vec<u8> {
    let mut padded = component.to_vec();
    let section = bytes - component.len();
    padded.push(0);
    let content = section - 6;
    padded.extend((0..5).map(|digit| {
        let more = if digit < 4 { 0x80 } else { 0 };
        more | u8::try_from((content >> (7 * digit)) & 0x7f).expect("seven bits")
    }));
    // The section's name.
    padded.extend(b"\x03pad");
    padded.resize(bytes, 0x5a);
    padded
}

/// A component with custom sections behind it, as many as told.
pub fn many_sections(component: &[u8], count: usize) -> Vec<u8> {
    [component, &b"\x00\x01\x00".repeat(count)].concat()
}

/// A core module of `count` functions, each of which has `steps` steps that take a compiler some work.
pub fn functions(count: usize, steps: usize) -> String {
    let mut body = String::new();
    for step in 0..steps {
        let at = step % 1_000;
        write!(body, "(local.set 0 (i64.rotl (i64.mul (local.get 0) (i64.load (i32.const {at}))) (i64.const {at})))")
            .expect("text");
    }
    let function = format!("(func (export \"f0\") (param i64) (result i64) {body} (local.get 0))");
    let others = function.replace("(export \"f0\")", "").repeat(count.saturating_sub(1));
    format!("(memory 1) {function} {others}")
}

/// A component around one core module, with the exports of a policy by name.
pub fn around(module: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module $m {module})
            (core instance (instantiate $m))
            (core module $f (func (export "f")))
            (core instance $i (instantiate $f))
            (func $f (canon lift (core func $i "f")))
            (instance $cleanup (export "handle" (func $f)))
            (instance $retention (export "review" (func $f)))
            (export "galaxy:rtmanager/cleanup@0.1.0" (instance $cleanup))
            (export "galaxy:rtmanager/retention@0.1.0" (instance $retention)))"#
    );
    wat::parse_str(text).expect("the text of a bomb is valid")
}

/// Few bytes that instantiate a great many components: each level instantiates the one within it ten times.
pub fn tenfold_instances(levels: usize) -> Vec<u8> {
    let mut component = "(component (core module $m) (core instance (instantiate $m)))".to_owned();
    for _ in 0..levels {
        let inner = component.replacen("(component", "(component $c", 1);
        component = format!("(component {inner} {})", "(instance (instantiate $c))".repeat(10));
    }
    wat::parse_str(component).expect("the text of a bomb is valid")
}
