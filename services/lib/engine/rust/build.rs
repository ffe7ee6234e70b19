//! Links the addon against Node's symbols, which the process that loads it provides.
fn main() {
    #[cfg(feature = "native")]
    napi_build::setup();
    println!("cargo:rerun-if-env-changed=MERIDIAN_ENGINE_SOURCES");
}
