# NixOS VM tests: `pkgs` has nixcert's overlay.
#
#   nix-build -A deploy -E '
#     import ./default.nix { pkgs = import <nixpkgs> { overlays = [ (import ../../overlay.nix).default ]; }; }'
{ pkgs }:
let
  common = import ./common.nix { inherit pkgs; };
  run = file: pkgs.testers.runNixOSTest (import file { inherit pkgs common; });
in
{
  deploy = run ./deploy.nix;
  activation = run ./activation.nix;
  upgrade = run ./upgrade.nix;
  plugin = run ./plugin.nix;
}
