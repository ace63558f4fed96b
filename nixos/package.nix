# The command (`out`), and the library that Nix is built with (`dev`).
{
  lib,
  stdenv,
  rustPlatform,
  rustc,
  installShellFiles,
}:

let
  root = ../.;

  inherit ((lib.importTOML ../Cargo.toml).workspace) members package metadata;
  inherit (metadata.products) library command;

  products = [
    library
    command
  ];
  sources = lib.unique (lib.concatMap (product: product.sources) products);

  # Cargo wants the manifest of every member, and a file to compile: Cargo.lock has the dependencies of all. Members that are in
  # no product have an empty one, so that a change in the test bed does not build Nix again.
  others = lib.subtractLists sources members;

  crates = map (member: (lib.importTOML (root + "/${member}/Cargo.toml")).package.name) (
    lib.intersectLists sources members
  );

  # What only tests read.
  read = [
    "tests"
    "cpp-shim/tests"
    "FORMAT.md"
    "README.md"
  ];

  sourceOf =
    paths:
    lib.fileset.toSource {
      inherit root;
      fileset = lib.fileset.unions (map (path: root + "/${path}") paths);
    };

  built =
    sources
    ++ [
      "Cargo.toml"
      "Cargo.lock"
    ]
    ++ map (member: "${member}/Cargo.toml") others;

  packages = lib.concatMap (crate: [
    "--package"
    crate
  ]);

  each = lib.concatMapAttrsStringSep "\n";

  installed = output: product: ''
    ${each (file: to: ''install -D -m 644 "$made"/${file} ${output}/${to}'') product.made}
    ${each (file: to: "install -D -m 644 ${file} ${output}/${to}") (product.copied or { })}
    ${each (file: to: ''
      mkdir -p "$(dirname ${output}/${to})"
      sed 's/@VERSION@/${package.version}/' ${file} > ${output}/${to}
    '') (product.configured or { })}
  '';
in

lib.throwIf (lib.versionOlder rustc.version package.rust-version)
  "nixcert needs Rust ${package.rust-version} or later, and this nixpkgs has ${rustc.version}: take a newer nixpkgs for it"

  rustPlatform.buildRustPackage
  (finalAttrs: {
    pname = "nixcert";
    inherit (package) version;

    src = sourceOf built;
    cargoLock.lockFile = ../Cargo.lock;

    outputs = [
      "out"
      "dev"
    ];

    nativeBuildInputs = [ installShellFiles ];

    postPatch = lib.concatMapStrings (member: ''
      mkdir -p ${member}/src
      echo 'fn main() {}' > ${member}/src/main.rs
    '') others;

    # One after the other, as `cargo xtask` makes them: together, each would have the features that the other one wants of the
    # crates that both need.
    buildPhase = lib.concatMapStrings (product: ''
      cargoBuildFlags="--package ${product.package}" cargoBuildHook
    '') products;

    # Those that need no files but the sources; `tests.all` runs the others.
    cargoTestFlags = packages crates ++ [
      "--lib"
      "--bins"
    ];

    installPhase = ''
      runHook preInstall
      made=target/${stdenv.hostPlatform.rust.cargoShortTarget}/$cargoBuildType
      ${installed "$dev" library}
      ${installed "$out" command}
      chmod 755 $out/bin/*
      runHook postInstall
    '';

    postInstall = lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
      mkdir -p $out/share/man/man1
      $out/bin/nixcert man $out/share/man/man1
      for shell in bash zsh fish; do
        $out/bin/nixcert completions $shell > nixcert.$shell
      done
      installShellCompletion nixcert.{bash,zsh,fish}
    '';

    passthru.tests.all = finalAttrs.finalPackage.overrideAttrs {
      pname = "nixcert-tests";
      src = sourceOf (built ++ read);
      cargoTestFlags = packages crates;
    };

    meta = {
      description = "Certificates for signing Nix packages";
      longDescription = ''
        A certification authority certifies people's own signing keys; a host that trusts it accepts the store paths that those
        people signed, offline, within the certificates' limits, and knows who vouched.
      '';
      license = lib.licenses.lgpl21Plus;
      mainProgram = "nixcert";
      platforms = lib.platforms.linux;
      outputsToInstall = [ "out" ];
    };
  })
