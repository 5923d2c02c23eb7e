//! Compiles nginx's pools, with the feature of that name: its own two files, out of the package `nginx-src`.
//!
//! That package is a dependency of no target, so that cargo fetches it and builds neither it nor what it
//! needs to build a whole nginx.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=native");
    #[cfg(feature = "nginx")]
    nginx::compile();
}

#[cfg(feature = "nginx")]
mod nginx {
    use std::path::PathBuf;
    use std::process::Command;

    pub fn compile() {
        let source = package().join("nginx/src");
        let (core, unix) = (source.join("core"), source.join("os/unix"));
        // The profile has a say in both, and must not.
        cc::Build::new()
            .files([core.join("ngx_palloc.c"), unix.join("ngx_alloc.c")])
            .include("native/nginx")
            .include(&core)
            .include(&unix)
            .opt_level(3)
            .debug(false)
            .warnings(false)
            .compile("ngx_palloc");
    }

    /// Where cargo has unpacked `nginx-src`.
    fn package() -> PathBuf {
        let cargo = std::env::var_os("CARGO").expect("cargo runs this");
        let output = Command::new(cargo).args(["metadata", "--format-version", "1"]).output();
        let output = output.expect("cargo runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo metadata: {error}");
        let metadata = String::from_utf8_lossy(&output.stdout);
        let manifest =
            metadata.split('"').find(|s| s.contains("nginx-src-") && s.ends_with("Cargo.toml"));
        let manifest = PathBuf::from(manifest.expect("nginx-src is among the packages"));
        manifest.parent().expect("a file is in a directory").to_owned()
    }
}
