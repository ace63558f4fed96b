# The least of NixOS that the module touches: the same options with the same types and defaults, and nothing that acts on them.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;

  option =
    type: default:
    mkOption {
      inherit type default;
    };
  anything = option (types.attrsOf types.anything) { };

  atom = types.nullOr (
    types.oneOf [
      types.bool
      types.int
      types.float
      types.str
      types.path
      types.package
    ]
  );

  sudo = enable: {
    enable = option types.bool enable;
    extraRules = mkOption {
      type = types.listOf (
        types.submodule {
          options = {
            users = option (types.listOf (types.either types.str types.int)) [ ];
            groups = option (types.listOf (types.either types.str types.int)) [ ];
            host = option types.str "ALL";
            runAs = option types.str "ALL:ALL";
            commands = option (types.listOf (types.either types.str (types.attrsOf types.anything))) [ ];
          };
        }
      );
      default = [ ];
    };
  };
  ofWheel = {
    groups = [ "wheel" ];
    commands = [ { command = "ALL"; } ];
  };
in
{
  options = {
    assertions = option (types.listOf types.anything) [ ];
    warnings = option (types.listOf types.str) [ ];

    environment.etc = anything;
    environment.systemPackages = option (types.listOf types.package) [ ];

    networking.hostName = option types.str "nixos";
    networking.fqdnOrHostName = option types.str config.networking.hostName;

    nix = {
      enable = option types.bool true;
      package = option types.package pkgs.nix;
      extraOptions = option types.lines "";
      sshServe.enable = option types.bool false;
      sshServe.trusted = option types.bool false;
      settings = mkOption {
        type = types.submodule {
          freeformType = types.attrsOf (types.either atom (types.listOf atom));
          options = {
            require-sigs = option types.bool true;
            trusted-users = mkOption { type = types.listOf types.str; };
            trusted-public-keys = mkOption { type = types.listOf types.str; };
          };
        };
        default = { };
        description = "The settings of nix.conf.";
      };
    };

    security.sudo = sudo true // {
      execWheelOnly = option types.bool false;
    };
    security.sudo-rs = sudo false // {
      package = option types.anything { version = "0.2.13"; };
    };

    systemd.services = anything;
    systemd.paths = anything;
    systemd.timers = anything;
    systemd.tmpfiles.settings = anything;

    users.groups = mkOption {
      type = types.attrsOf (types.submodule { options.members = option (types.listOf types.str) [ ]; });
      default = { };
    };
    users.users = mkOption {
      type = types.attrsOf (
        types.submodule {
          freeformType = types.attrsOf types.anything;
          options.group = option types.str "users";
          options.extraGroups = option (types.listOf types.str) [ ];
        }
      );
      default = { };
    };
  };

  config = {
    nix.settings.trusted-users = [ "root" ];
    nix.settings.trusted-public-keys = [
      "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY="
    ];
    users.groups.wheel = { };
    users.groups.users = { };
    security.sudo.extraRules = lib.mkIf config.security.sudo.enable [ ofWheel ];
    security.sudo-rs.extraRules = lib.mkIf config.security.sudo-rs.enable [ ofWheel ];
  };
}
