# The least of nixpkgs that the module asks for. Derivations really build, with what the machine has in /usr/bin; the patched
# Nix and the command are where the machine has them.
{
  lib,
  nix ? "/usr",
  nixcert ? "/usr",
}:
let
  system = builtins.currentSystem or "x86_64-linux";

  package =
    attrs:
    {
      type = "derivation";
      inherit system;
      outputs = [ "out" ];
      outputName = "out";
      drvPath = "/no-derivation";
    }
    // attrs
    // {
      name = "${attrs.pname}-${attrs.version}";
    };

  runCommand =
    name: env: script:
    derivation (
      removeAttrs env [ "preferLocalBuild" ]
      // {
        inherit name system;
        builder = "/bin/sh";
        args = [
          "-euc"
          script
        ];
        PATH = "/usr/bin:/bin";
      }
    );

  toToml = import ./toml.nix { inherit lib; };

  stock =
    version:
    package {
      pname = "nix";
      inherit version;
      outPath = nix;
      libs.nix-store = { };
    };
  pkgs = {
    inherit runCommand;

    writeText = name: text: runCommand name { inherit text; } ''printf %s "$text" > $out'';

    stdenv = {
      buildPlatform.canExecute = _: true;
      hostPlatform = { };
    };

    formats.toml = _: {
      type =
        let
          inherit (lib) types;
          value =
            types.oneOf [
              types.bool
              types.int
              types.float
              types.str
              types.path
              (types.attrsOf value)
              (types.listOf value)
            ]
            // {
              description = "TOML value";
            };
        in
        value;
      generate = name: value: runCommand name { text = toToml value; } ''printf %s "$text" > $out'';
    };

    # Without the patches: stock Nix of a release that the plugin is for, of one that it is not for, and one that is static.
    nix = stock "2.34.8";
    nixVersions = {
      nix_2_28 = stock "2.28.5";
      static = removeAttrs (stock "2.34.8") [ "libs" ];
    };

    nixcertVersions.stable = stock "2.34.8+11" // {
      nixcert = {
        series = "nix-2.34";
        release = "2.34";
      };
    };

    nixcert = package {
      pname = "nixcert";
      version = "0.1.0";
      outPath = nixcert;
    };

    nixcert-plugin = {
      override =
        { nix }:
        package {
          pname = "nixcert-plugin";
          version = nix.version;
          file = "lib/nixcert/libnixcert-plugin.so";
          outPath = "/nix/store/00000000000000000000000000000000-nixcert-plugin-${nix.version}";
        };
    };

    bash = package {
      pname = "bash";
      version = "5.3";
      outPath = "/nix/store/00000000000000000000000000000000-bash-5.3";
    };
    coreutils = package {
      pname = "coreutils";
      version = "9.8";
      outPath = "/nix/store/00000000000000000000000000000000-coreutils-9.8";
    };

    # What NixOS' tests have for ssh is beside this file.
    path = ./.;

    # A VM test, as far as it can be looked at without one: its nodes' configurations, and its script.
    testers.runNixOSTest =
      test:
      let
        nodes = lib.mapAttrs (
          _: node:
          (lib.evalModules {
            specialArgs = { inherit nodes; };
            modules = [
              ./nixos.nix
              ./system.nix
              node
              {
                # Most of NixOS is not here.
                _module.check = false;
                _module.args.pkgs = pkgs;
              }
            ];
          }).config
        ) test.nodes;
      in
      {
        inherit nodes;
        inherit (test) name testScript;
      };
  };
in
pkgs
