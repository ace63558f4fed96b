//! Compiles the bridge and the C++ class in front of it into the static library.

fn main() {
    let shim = "../../cpp-shim";
    cxx_build::bridge("src/lib.rs")
        .file(format!("{shim}/nixcert.cc"))
        .include(shim)
        .std("c++20")
        .warnings(true)
        .compile("nixcert-shim");
    for file in ["nixcert.hh", "nixcert.cc"] {
        println!("cargo:rerun-if-changed={shim}/{file}");
    }
    println!("cargo:rerun-if-changed=src/lib.rs");
}
