# The module, evaluated for real, beside stand-ins for all that is around it.
{
  lib,
  nix ? "/usr",
  nixcert ? "/usr",
}:
modules:
let
  pkgs = import ./pkgs.nix { inherit lib nix nixcert; };
  evaluated = lib.evalModules {
    modules = [
      ./nixos.nix
      ../../module.nix
      { _module.args = { inherit pkgs; }; }
    ]
    ++ lib.flatten [ modules ];
  };
in
{
  inherit pkgs;
  inherit (evaluated) config options;

  # What stops the system from being built.
  problems = map (item: item.message) (
    lib.filter (item: !item.assertion) evaluated.config.assertions
  );
}
