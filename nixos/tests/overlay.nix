# The overlays: against nixpkgs' nixVersions as it is shaped, and against the packaging of a real Nix.
{
  lib,
  nixSource ? null,
  ...
}:

let
  overlays = import ../overlay.nix;
  standIn = import ./nixpkgs { inherit lib; };
  supported = import ../supported.nix { inherit lib; };

  stock = standIn.pkgsWith (_: _: { });
  added = standIn.pkgsWith overlays.default;
  replaced = standIn.pkgsWith overlays.replace;

  # nixpkgs whose nixVersions has other things in it.
  versions =
    change:
    standIn.pkgsWith (
      lib.composeExtensions (_: prev: { nixVersions = prev.nixVersions // change; }) overlays.default
    );

  inherit (added.nixcertVersions) withCertificates;

  about = nix: {
    inherit (nix) version;
    nixcert = nix.nixcert or null;
    inputs = map toString nix.libs.nix-store.buildInputs;
    flags = nix.libs.nix-store.mesonFlags;
  };

  patched = version: series: release: {
    inherit version;
    nixcert = { inherit series release; };
    inputs = [
      "/stand-in/sqlite"
      "/stand-in/nixcert-0.1.0-dev"
    ];
    flags = [
      "-Dseccomp-sandboxing=enabled"
      "-Dcertificates=enabled"
    ];
  };

  unpatched = version: {
    inherit version;
    nixcert = null;
    inputs = [ "/stand-in/sqlite" ];
    flags = [ "-Dseccomp-sandboxing=enabled" ];
  };

  # The names of patches, as `series` has them.
  names =
    series: map baseNameOf (lib.findFirst (it: it.series == series) null supported.series).patches;

  flake = (import ../../flake.nix).outputs {
    nixpkgs = {
      inherit lib;
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (_: {
        extend = standIn.pkgsWith;
      });
    };
  };

  cases = {
    "each-release-with-a-series-is-there" = {
      value = lib.attrNames added.nixcertVersions;
      expected = [
        "git"
        "latest"
        "nix_2_31"
        "nix_2_34"
        "nix_2_35"
        "stable"
        "withCertificates"
      ];
    };
    "a-release-that-nixpkgs-lacks-is-not" = {
      value =
        let
          without = standIn.pkgsWith (
            lib.composeExtensions (_: prev: {
              nixVersions = removeAttrs prev.nixVersions [ "nixComponents_2_35" ];
            }) overlays.default
          );
        in
        lib.attrNames without.nixcertVersions;
      expected = [
        "git"
        "latest"
        "nix_2_31"
        "nix_2_34"
        "stable"
        "withCertificates"
      ];
    };

    "each-is-patched" = {
      value = lib.mapAttrs (_: about) (removeAttrs added.nixcertVersions [ "withCertificates" ]);
      expected = {
        nix_2_31 = patched "2.31.5+11" "nix-2.31" "2.31";
        nix_2_34 = patched "2.34.8+12" "nix-2.34" "2.34";
        nix_2_35 = patched "2.35.2+11" "nix-2.35" "2.35";
        git = patched "2.36pre20260822_88b09c64+10" "nix-master" "2.36";
        latest = patched "2.35.2+11" "nix-2.35" "2.35";
        stable = patched "2.34.8+12" "nix-2.34" "2.34";
      };
    };
    "the-stock-ones-are-not" = {
      value = lib.mapAttrs (_: about) {
        inherit (added.nixVersions) nix_2_34 git stable;
        inherit (added) nix;
      };
      expected = {
        nix_2_34 = unpatched "2.34.8+1";
        git = unpatched "2.36pre20260822_88b09c64";
        stable = unpatched "2.34.8+1";
        nix = unpatched "2.34.8+1";
      };
    };

    "replace-patches-pkgs-nix" = {
      value = about replaced.nix;
      expected = patched "2.34.8+12" "nix-2.34" "2.34";
    };
    "replace-leaves-nixVersions" = {
      value = about replaced.nixVersions.stable;
      expected = unpatched "2.34.8+1";
    };
    "default-adds-and-changes-nothing" = {
      value = {
        added = lib.subtractLists (lib.attrNames stock) (lib.attrNames added);
        lost = lib.subtractLists (lib.attrNames added) (lib.attrNames stock);
      };
      expected = {
        added = [
          "nixcert"
          "nixcert-plugin"
          "nixcertVersions"
        ];
        lost = [ ];
      };
    };

    "a-set-of-components-is-patched" = {
      value = about (withCertificates added.nixVersions.nixComponents_2_31);
      expected = patched "2.31.5+11" "nix-2.31" "2.31";
    };
    "a-package-of-components-is-patched" = {
      value = about (withCertificates added.nixVersions.nix_2_31);
      expected = patched "2.31.5+11" "nix-2.31" "2.31";
    };
    "a-release-without-a-series-is-refused" = {
      value = (withCertificates added.nixVersions.nixComponents_2_30).version;
      error = "nixcert has no patches for Nix 2.30.4. It has some for Nix 2.26 (tried with 2.26.3) Nix 2.31 (";
    };
    "a-package-without-a-series-is-refused" = {
      value = (withCertificates added.nixVersions.nix_2_30).version;
      error = "nixcert has no patches for Nix 2.30.4+1. It has some for Nix 2.26";
    };
    "where-to-look-is-said" = {
      value = (withCertificates added.nixVersions.nix_2_28).version;
      error = "patches/README.md in nixcert says how";
    };
    "removed-versions-are-explained-by-nixpkgs" = {
      value = (withCertificates added.nixVersions.nixComponents_2_32).version;
      error = "nixComponents_2_32 has been removed. use nixComponents_2_34.";
    };
    "a-nix-without-components-is-refused" = {
      value =
        (withCertificates (
          standIn.mkDerivation {
            pname = "nix";
            version = "2.34.8";
          }
        )).version;
      error = "nixcert cannot patch this Nix (2.34.8): it has no `appendPatches` and `overrideScope`";
    };
    "a-patched-nix-is-not-patched-again" = {
      value = (withCertificates added.nixcertVersions.nix_2_34).version;
      error = "this Nix (2.34.8+12) has nixcert's patches already";
    };

    "git-ahead-of-all-series-is-refused" = {
      value =
        (versions { git = (standIn.small "2.37pre20270101_01234567").nix-everything; })
        .nixcertVersions.git.version;
      error = "nixcert has no patches for Nix 2.37pre20270101_01234567.";
    };
    "and-the-others-are-there" = {
      value =
        (versions { git = (standIn.small "2.37pre20270101_01234567").nix-everything; })
        .nixcertVersions.stable.version;
      expected = "2.34.8+12";
    };

    "a-patched-nix-stays-one-with-more-patches" = {
      value = about (added.nixcertVersions.nix_2_34.appendPatches [ "mine.patch" ]);
      expected = patched "2.34.8+13" "nix-2.34" "2.34";
    };
    "a-patched-nix-stays-one-with-other-attributes" = {
      value = (added.nixcertVersions.nix_2_34.overrideAttrs { doCheck = false; }).nixcert.series;
      expected = "nix-2.34";
    };

    "the-plugin-is-built-with-its-nix" = {
      value = {
        inherit (added.nixcert-plugin) version mesonFlags series;
        buildInputs = map toString added.nixcert-plugin.buildInputs;
      };
      expected = {
        version = "0.1.0-nix-2.34.8+1";
        series = "nix-2.34";
        mesonFlags = [ "-Dseries=nix-2.34" ];
        buildInputs = [
          "/stand-in/nix-store-2.34.8+1"
          "/stand-in/nixcert-0.1.0-dev"
        ];
      };
    };
    "there-is-no-plugin-for-some-releases" = {
      value = (added.callPackage ../plugin.nix { nix = added.nixVersions.nix_2_35; }).version;
      error = "nixcert has no plugin for Nix 2.35.2, only for 2.26, 2.31, 2.34: take a Nix with the patches";
    };
    "there-is-no-plugin-for-a-patched-nix" = {
      value = replaced.nixcert-plugin.version;
      error = "this Nix (2.34.8+12) checks certificates itself";
    };
    "there-is-no-plugin-for-a-nix-without-components" = {
      value =
        (added.callPackage ../plugin.nix {
          nix = standIn.mkDerivation {
            pname = "nix";
            version = "2.34.8";
          };
        }).version;
      error = "nixcert's plugin needs a Nix that is made of components";
    };

    "the-flake-has-what-it-says" = {
      value = lib.mapAttrs (_: lib.attrNames) {
        inherit flake;
        packages = flake.packages.x86_64-linux;
        checks = flake.checks.aarch64-linux;
        apps = flake.apps.x86_64-linux;
        modules = flake.nixosModules;
      };
      expected = {
        flake = [
          "apps"
          "checks"
          "devShells"
          "formatter"
          "nixosModules"
          "overlays"
          "packages"
        ];
        packages = [
          "default"
          "demo"
          "nix"
          "nix_2_31"
          "nix_2_34"
          "nix_2_35"
          "nixcert"
          "nixcert-plugin"
        ];
        checks = [
          "cases-module"
          "cases-overlay"
          "cases-package"
          "demo"
          "nix"
          "nixcert"
          "nixcert-plugin"
          "tests"
          "vm-activation"
          "vm-deploy"
          "vm-plugin"
          "vm-upgrade"
        ];
        apps = [ "demo" ];
        modules = [ "default" ];
      };
    };
    "nix-of-the-flake-is-patched" = {
      value = flake.packages.x86_64-linux.nix.nixcert.series;
      expected = "nix-2.34";
    };
    "module-of-the-flake-adds-and-does-not-replace" = {
      value = about (standIn.pkgsWith (
        lib.composeManyExtensions flake.nixosModules.default.nixpkgs.overlays
      )).nix;
      expected = unpatched "2.34.8+1";
    };
    "the-demo-has-its-commands" = {
      value = map toString flake.packages.x86_64-linux.demo.runtimeInputs;
      expected = [
        "/stand-in/coreutils"
        "/stand-in/nix-2.34.8+1"
        "/stand-in/nixcert-0.1.0"
      ];
    };

    "versions-belong-to-their-release" = {
      value = map (version: (supported.forVersion version).series) [
        "2.34.8"
        "2.34.8+1"
        "2.34pre20260101_01234567"
        "2.36pre20260822_88b09c64"
      ];
      expected = [
        "nix-2.34"
        "nix-2.34"
        "nix-2.34"
        "nix-master"
      ];
    };
    "and-to-no-other" = {
      value = (supported.forVersion "2.3.16").series;
      error = "nixcert has no patches for Nix 2.3.16.";
    };
  };

  # Nix's own packaging, as its flake and nixpkgs use it.
  real =
    let
      components = standIn.scopeOf (
        import (nixSource + "/packaging/components.nix") {
          inherit lib;
          pkgs.buildPackages = {
            meson = standIn.dependency "meson";
            ninja = standIn.dependency "ninja";
            pkg-config = standIn.dependency "pkg-config";
            stdenvNoCC = { inherit (standIn) mkDerivation; };
            srcOnly = package: package;
          };
          src = nixSource;
          officialRelease = true;
          maintainers = [ ];
        }
      );
      version = lib.fileContents (nixSource + "/.version");
      it = supported.forVersion version;
      # nixpkgs patches some of its own accord.
      theirs = (components.overrideSource nixSource).appendPatches [ "common.patch" ];
      # With our patches, and without the library.
      without = theirs.appendPatches it.patches;
      ours = withCertificates theirs;
      count = lib.length it.patches;

      summary = component: {
        inherit (component) version;
        inputs = lib.genAttrs [ "nativeBuildInputs" "buildInputs" "propagatedBuildInputs" ] (
          name: map toString (component.${name} or [ ])
        );
        flags = component.mesonFlags or [ ];
      };
      summaries = lib.mapAttrs (_: summary);
    in
    {
      "real-the-patches-are-those-of-the-series" = {
        value = map baseNameOf ours.src.patches;
        expected = [ "common.patch" ] ++ names it.series;
      };
      "real-version-and-series" = {
        value = {
          inherit (ours) version nixcert;
          store = ours.libs.nix-store.version;
        };
        expected = {
          version = "${version}+${toString (count + 1)}";
          nixcert = { inherit (it) series release; };
          store = "${version}+${toString (count + 1)}";
        };
      };
      "real-libstore-has-the-library-and-the-option" = {
        value = summary ours.libs.nix-store;
        expected =
          let
            stock = summary without.nix-store;
          in
          stock
          // {
            inputs = stock.inputs // {
              buildInputs = stock.inputs.buildInputs ++ [ "/stand-in/nixcert-0.1.0-dev" ];
            };
            flags = stock.flags ++ [ "-Dcertificates=enabled" ];
          };
      };
      "real-the-option-is-one-that-a-patch-adds" = {
        value = lib.any (
          patch:
          lib.hasInfix "\n+++ b/src/libstore/meson.options\n" patch
          && lib.hasInfix "\n+  'certificates',\n" patch
        ) (map lib.readFile it.patches);
        expected = true;
      };
      "real-other-libraries-are-the-same" = {
        value = summaries (removeAttrs ours.libs [ "nix-store" ]);
        expected = summaries (removeAttrs without.nix-everything.libs [ "nix-store" ]);
      };
      "real-the-package-is-the-same" = {
        value = summary ours // {
          checked = map toString ours.checkInputs;
        };
        expected = summary without.nix-everything // {
          checked = map toString without.nix-everything.checkInputs;
        };
      };
      "real-a-package-is-patched-as-its-components-are" = {
        value = {
          inherit (withCertificates theirs.nix-everything) version nixcert;
          patches = map baseNameOf (withCertificates theirs.nix-everything).src.patches;
        };
        expected = {
          inherit (ours) version nixcert;
          patches = map baseNameOf ours.src.patches;
        };
      };
      "real-from-its-own-flake" = {
        value = (withCertificates components).version;
        expected = "${version}+${toString count}";
      };
      "real-stock-is-untouched" = {
        value = {
          nixcert = theirs.nix-everything ? nixcert;
          inherit (theirs.nix-everything) version;
          flags = lib.elem "-Dcertificates=enabled" theirs.nix-store.mesonFlags;
        };
        expected = {
          nixcert = false;
          version = "${version}+1";
          flags = false;
        };
      };
    };
in
cases // lib.optionalAttrs (nixSource != null) real
