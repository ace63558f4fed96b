# What `nix flake check` builds: the packages, the cases in tests/ as far as they only evaluate, and the VM tests. `pkgs`
# has the default overlay.
{ pkgs }:

let
  inherit (pkgs) lib;

  evaluated =
    name:
    let
      cases = import (./tests + "/${name}.nix") {
        inherit lib;
        nix = pkgs.nixcertVersions.stable;
        inherit (pkgs) nixcert;
      };
      holds =
        case:
        if case ? expected then
          builtins.toJSON case.value == builtins.toJSON case.expected
        # The message is compared in the test bed: an expression cannot see it.
        else
          !(builtins.tryEval (builtins.toJSON case.value)).success;
      failed = lib.attrNames (lib.filterAttrs (_: case: !(case ? build || holds case)) cases);
    in
    lib.throwIf (failed != [ ])
      "nixos/tests/${name}.nix: these do not hold: ${lib.concatStringsSep ", " failed}"
      (pkgs.writeText "nixcert-cases-${name}" (lib.concatLines (lib.attrNames cases)));
in
{
  inherit (pkgs) nixcert nixcert-plugin;
  tests = pkgs.nixcert.tests.all;
  nix = pkgs.nixcertVersions.stable;
  demo = pkgs.runCommand "nixcert-demo-ran" { } ''
    ${lib.getExe (pkgs.callPackage ./demo.nix { })} > $out
  '';
  cases-overlay = evaluated "overlay";
  cases-package = evaluated "package";
  cases-module = evaluated "module";
}
// lib.mapAttrs' (name: lib.nameValuePair "vm-${name}") (import ./tests/vm { inherit pkgs; })
