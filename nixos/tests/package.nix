# The package: it is made of what Cargo.toml lists, and of nothing else.
{ lib, ... }:

let
  standIn = import ./nixpkgs { inherit lib; };
  pkgs = standIn.pkgsWith (import ../overlay.nix).default;
  package = pkgs.nixcert;

  root = ../..;
  inherit ((lib.importTOML (root + "/Cargo.toml")).workspace) members metadata;
  inherit (metadata.products) library command;
  products = [
    library
    command
  ];
  sources = lib.unique (library.sources ++ command.sources);

  withRustc =
    version:
    (pkgs.callPackage ../package.nix {
      rustc = { inherit version; };
    }).pname;

  # Whether a path gets into the source.
  isThere =
    path:
    let
      whole = root + "/${path}";
    in
    lib.pathExists whole && package.src.filter (toString whole) (lib.filesystem.pathType whole);
in
{
  "every-source-is-there" = {
    value = lib.filter (path: !lib.pathExists (root + "/${path}")) sources;
    expected = [ ];
  };
  "every-installed-file-is-a-source" = {
    value = lib.subtractLists library.sources (
      lib.attrNames library.copied ++ lib.attrNames library.configured
    );
    expected = [ ];
  };
  "every-source-is-in-the-package" = {
    value = lib.filter (path: !isThere path) (
      sources
      ++ [
        "Cargo.toml"
        "Cargo.lock"
      ]
    );
    expected = [ ];
  };
  "every-member-has-its-manifest" = {
    value = lib.filter (member: !isThere "${member}/Cargo.toml") members;
    expected = [ ];
  };
  "the-test-bed-is-not-in-the-package" = {
    value = lib.filter isThere [
      "rust/xtask/src"
      "cpp-shim/plugin"
      "nixos"
      "patches"
      "tests"
      "README.md"
    ];
    expected = [ ];
  };
  "cargo-gets-a-file-to-compile-for-it" = {
    value = lib.hasInfix "echo 'fn main() {}' > rust/xtask/src/main.rs" package.postPatch;
    expected = true;
  };
  "and-for-no-other" = {
    value = lib.length (lib.splitString "fn main" package.postPatch) - 1;
    expected = lib.length (lib.subtractLists sources members);
  };

  "each-product-is-compiled-alone" = {
    value = lib.splitString "\n" (lib.trim package.buildPhase);
    expected = map (
      product: ''cargoBuildFlags="--package ${product.package}" cargoBuildHook''
    ) products;
  };
  "everything-listed-is-installed" = {
    value = lib.filter (to: !lib.hasInfix to package.installPhase) (
      lib.concatMap (
        product:
        lib.concatMap lib.attrValues [
          product.made
          (product.copied or { })
          (product.configured or { })
        ]
      ) products
    );
    expected = [ ];
  };
  "every-crate-is-tested" = {
    value = lib.filter (crate: !lib.elem crate package.cargoTestFlags) (
      map (member: (lib.importTOML (root + "/${member}/Cargo.toml")).package.name) (
        lib.intersectLists sources members
      )
    );
    expected = [ ];
  };
  "version-is-that-of-the-workspace" = {
    value = package.version;
    expected = (lib.importTOML (root + "/Cargo.toml")).workspace.package.version;
  };

  "rust-of-the-workspace-will-do" = {
    value = withRustc "1.88.0";
    expected = "nixcert";
  };
  "older-rust-is-refused" = {
    value = withRustc "1.87.0";
    error = "nixcert needs Rust 1.88 or later, and this nixpkgs has 1.87.0";
  };
}
