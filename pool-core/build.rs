//! Tells the crate whether it is compiled for AddressSanitizer, which stable Rust cannot ask.

fn main() {
    println!("cargo:rustc-check-cfg=cfg(pool_asan)");
    println!("cargo:rerun-if-changed=build.rs");
    let sanitizers = std::env::var("CARGO_CFG_SANITIZE").unwrap_or_default();
    if sanitizers.split(',').any(|name| name == "address") {
        println!("cargo:rustc-cfg=pool_asan");
    }
}
