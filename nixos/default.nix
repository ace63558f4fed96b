# For those without flakes:
#
#   { imports = [ (import ./nixcert/nixos).nixosModules.default ]; }
let
  overlays = import ./overlay.nix;
in
{
  inherit overlays;

  nixosModules.default = {
    imports = [ ./module.nix ];
    nixpkgs.overlays = [ overlays.default ];
  };
}
