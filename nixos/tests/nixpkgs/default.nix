# What the overlays and packages need of nixpkgs, to evaluate them where there is only its `lib`. Packages keep their
# attributes, and build nothing.
{ lib }:

rec {
  /**
    Like stdenv's, without a derivation: what it was given, and what was made of that.
  */
  mkDerivation =
    arguments:
    let
      make =
        attributes:
        let
          final = attributes (final // { finalPackage = package; });
          path = "/stand-in/${final.pname or final.name}${
            lib.optionalString (final ? version) "-${final.version}"
          }";
          package =
            final
            // final.passthru or { }
            // lib.genAttrs (final.outputs or [ "out" ]) (output: {
              outPath = "${path}-${output}";
            })
            // {
              name = final.name or "${final.pname}-${final.version}";
              outPath = path;
              overrideAttrs =
                change:
                make (
                  finalAttrs:
                  let
                    previous = attributes finalAttrs;
                    once = if lib.isFunction change then change previous else change;
                  in
                  previous // (if lib.isFunction once then change finalAttrs previous else once)
                );
            };
        in
        package;
    in
    make (if lib.isFunction arguments then arguments else _: arguments);

  stdenv = {
    inherit mkDerivation;
    hostPlatform = lib.systems.elaborate "x86_64-linux";
    buildPlatform = lib.systems.elaborate "x86_64-linux";
    system = "x86_64-linux";
    isLinux = true;
    isDarwin = false;
    cc.isGNU = true;
    cc.isClang = false;
  };

  # A dependency of which nobody asks more than that it is there.
  dependency = name: { outPath = "/stand-in/${name}"; };

  callPackageWith =
    packages: file: arguments:
    let
      function = if lib.isFunction file then file else import file;
    in
    function (lib.intersectAttrs (lib.functionArgs function) packages // arguments);

  /**
    A set of components of Nix. `components` is a function of the scope, as Nix's own packaging/components.nix is. Whatever a
    component wants that is not in there is a dependency.
  */
  scopeOf =
    components:
    let
      # What components use in another way, or not at all if it is missing.
      called = {
        busybox-sandbox-shell = dependency "busybox-sandbox-shell";
        perl = dependency "perl" // {
          libPrefix = "lib";
          pkgs.toPerlModule = lib.id;
        };
        perlPackages = lib.genAttrs [ "DBI" "DBDSQLite" ] dependency;
        runCommand =
          name: _: _:
          dependency name;
      };
      newScope =
        scope: file: arguments:
        let
          function = if lib.isFunction file then file else import file;
          wanted = lib.filterAttrs (_: optional: !optional) (lib.functionArgs function);
        in
        callPackageWith (
          lib.mapAttrs (name: _: dependency name) wanted
          // {
            inherit lib stdenv;
          }
          // called
          // scope
        ) function arguments;
    in
    lib.makeScope newScope components;

  # As much of a Nix as nixpkgs' sets of components have in common.
  small =
    version:
    scopeOf (scope: {
      inherit version;
      patches = [ ];
      appendPatches =
        patches: scope.overrideScope (_: previous: { patches = previous.patches ++ patches; });
      component =
        pname: extra:
        mkDerivation (
          {
            inherit pname;
            version =
              version + lib.optionalString (scope.patches != [ ]) "+${toString (lib.length scope.patches)}";
          }
          // extra
        );
      nix-util = scope.component "nix-util" { };
      nix-store = scope.component "nix-store" {
        buildInputs = [ (dependency "sqlite") ];
        mesonFlags = [ "-Dseccomp-sandboxing=enabled" ];
      };
      nix-everything =
        scope.component "nix" {
          passthru.libs = { inherit (scope) nix-util nix-store; };
        }
        // {
          appendPatches = patches: (scope.appendPatches patches).nix-everything;
          overrideScope = change: (scope.overrideScope change).nix-everything;
        };
    });

  nixVersions = lib.makeExtensible (self: {
    nix_2_28 = mkDerivation {
      pname = "nix";
      version = "2.28.6";
    };
    nixComponents_2_30 = (small "2.30.4").appendPatches [ "common.patch" ];
    nix_2_30 = self.nixComponents_2_30.nix-everything;
    nixComponents_2_31 = (small "2.31.5").appendPatches [ ];
    nix_2_31 = self.nixComponents_2_31.nix-everything;
    nixComponents_2_32 = throw "nixComponents_2_32 has been removed. use nixComponents_2_34.";
    nix_2_32 = throw "nix_2_32 has been removed. use nix_2_34.";
    nixComponents_2_34 = (small "2.34.8").appendPatches [ "common.patch" ];
    nix_2_34 = self.nixComponents_2_34.nix-everything;
    nixComponents_2_35 = (small "2.35.2").appendPatches [ ];
    nix_2_35 = self.nixComponents_2_35.nix-everything;
    nixComponents_git = (small "2.36pre20260822_88b09c64").appendPatches [ ];
    git = self.nixComponents_git.nix-everything;
    latest = self.nix_2_35;
    stable = self.nix_2_34 // {
      tests = { };
    };
  });

  /**
    nixpkgs with an overlay.
  */
  pkgsWith =
    overlay:
    lib.fix (
      lib.extends overlay (final: {
        inherit lib stdenv nixVersions;
        callPackage = callPackageWith final;
        nix = final.nixVersions.stable;
        rustPlatform.buildRustPackage = mkDerivation;
        rustc.version = "1.91.1";
        installShellFiles = dependency "install-shell-files";
        coreutils = dependency "coreutils";
        writeShellApplication = lib.id;
        meson = dependency "meson";
        ninja = dependency "ninja";
        pkg-config = dependency "pkg-config";
      })
    );
}
