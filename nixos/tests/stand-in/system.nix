# What a VM test says of systems that are not built here: each has a path, and specialisations are systems, too.
{ lib, ... }:
let
  inherit (lib) mkOption types;
in
{
  options.system.build.toplevel = mkOption {
    type = types.str;
    default = "/nix/store/00000000000000000000000000000000-nixos-system";
  };
  options.specialisation = mkOption {
    type = types.attrsOf (
      types.submodule {
        options.configuration = mkOption {
          type = types.deferredModule;
          apply = _: {
            system.build.toplevel = "/nix/store/00000000000000000000000000000000-nixos-system-next";
          };
        };
      }
    );
    default = { };
  };
}
