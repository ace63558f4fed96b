# The NixOS module: typed settings of nix.conf, and security.nixcert. The packages are those of the overlay, which default.nix
# adds beside it.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib)
    mkDefault
    mkIf
    mkMerge
    mkOption
    types
    ;

  cfg = config.security.nixcert;

  switch =
    description:
    lib.mkEnableOption "it"
    // {
      inherit description;
    };
  format = pkgs.formats.toml { };

  inherit (import ./module/keys.nix { inherit lib; }) trustedKeys;
  keys = trustedKeys config.nix.settings;

  # TOML has no null.
  withoutNull =
    value:
    if lib.isAttrs value then
      lib.mapAttrs (_: withoutNull) (lib.filterAttrs (_: item: item != null) value)
    else if lib.isList value then
      map withoutNull value
    else
      value;

  nixcert = lib.getExe' cfg.package "nixcert";
  canRun = pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform;
  unchecked = what: "echo 'Not checked, since nixcert for the host cannot run here: ${what}'";

  hostName = config.nix.settings.ca-host-name or null;
  trustArgs = lib.escapeShellArgs (
    lib.concatMap (key: [
      "--trusted-ca-keys"
      key
    ]) keys
    ++ lib.optionals (hostName != null) [
      "--host"
      hostName
    ]
  );

  policy = format.generate "nixcert-policy.toml" (withoutNull cfg.settings);

  # Standard input, since in the sandbox the file has another owner than on the host.
  checkedPolicy = pkgs.runCommand "nixcert-policy.toml" { preferLocalBuild = true; } ''
    ${if canRun then "${nixcert} policy check ${trustArgs} - < ${policy}" else unchecked "the policy"}
    cp ${policy} $out
  '';

  revocationLists = pkgs.runCommand "nixcert-revocation-lists" { preferLocalBuild = true; } (
    ''
      mkdir $out
    ''
    + lib.concatStrings (
      lib.imap1 (number: list: ''
        ${
          if canRun then
            "${nixcert} revocation verify ${trustArgs} ${list}"
          else
            unchecked "a revocation list"
        }
        cp ${list} $out/${toString number}.list
      '') cfg.revocationLists
    )
  );

  sudoRule = {
    groups = [ cfg.activation.group ];
    runAs = "root";
    commands =
      map
        (arguments: {
          command = "/run/current-system/sw/bin/nixcert ${arguments}";
          options = [ "NOPASSWD" ];
        })
        [
          "activate *"
          "repair -"
          "revocation install -"
        ];
  };
in
{
  imports = [
    ./module/nix-settings.nix
    ./module/checks.nix
    ./module/services.nix
  ];

  options.security.nixcert = {
    enable = switch ''
      Whether Nix on this host checks certificates, by a policy: a Nix that can, the command {command}`nixcert`, and
      {option}`security.nixcert.settings`. The keys of CAs are in {option}`nix.settings.trusted-ca-keys`.
    '';

    package = lib.mkPackageOption pkgs "nixcert" { };

    integration = mkOption {
      type = types.enum [
        "patch"
        "plugin"
      ];
      default = "patch";
      description = ''
        How Nix learns to check certificates. `patch`: {option}`nix.package` is by default a Nix with nixcert's patches, which
        checks them wherever it checks signatures. `plugin`: the daemon of a Nix without patches loads a plugin, and what goes
        through the daemon is checked; root's own commands are not, and {option}`nix.settings.guarded-profiles` is not
        there. The README has a table of the differences.
      '';
    };

    settings = mkOption {
      type = types.submodule (import ./module/policy.nix { inherit lib format; });
      default = { };
      example = {
        ca.acme-2026-1 = {
          permitted-names = [ "*" ];
          usages = [ "import-paths" ];
          longest-validity = "90d";
        };
      };
      description = ''
        The policy of this host: the limits of certificates, beside their own (FORMAT.md section 12). It becomes
        {file}`/etc/nixcert/policy.toml`, and is checked by {command}`nixcert policy check` when the system is built.
        A change counts at once, on connections to the daemon that are already open, too.
      '';
    };

    revocationLists = mkOption {
      type = types.listOf types.path;
      default = [ ];
      example = lib.literalExpression "[ ./acme.list ]";
      description = ''
        Revocation lists that this host is to hold. Each is verified when the system is built, and taken up at boot and at
        activation; where the host holds a newer one of the same signer, that stays. They are no secret, and lists that come
        by other ways count beside them.
      '';
    };

    dropIn = {
      enable = switch ''
        Whether there is the directory {file}`/var/lib/nixcert/incoming`, where people who are not root put newer revocation
        lists. What is in there is judged by its signature alone, within a minute; it is taken up if it is newer than what the
        host holds, and removed in any case.
      '';

      group = mkOption {
        type = types.nullOr types.str;
        default = cfg.activation.group;
        defaultText = lib.literalExpression "config.security.nixcert.activation.group";
        example = "users";
        description = "The group whose members may put lists there.";
      };
    };

    activation = {
      enable = switch ''
        Whether the activation gate is there: {command}`nixcert activate` makes a system this host's if people vouch for it
        as {option}`security.nixcert.settings.activation` asks.
      '';

      group = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "deployers";
        description = ''
          The group whose members may ask for an activation, without a password: a sudo rule for {command}`nixcert activate`,
          {command}`nixcert repair -` and {command}`nixcert revocation install -`, none of which has an option that changes
          whom this host trusts. With `null` there is no rule, and only root asks.
        '';
      };

      guardSystemProfile = mkOption {
        type = types.bool;
        default = false;
        description = ''
          Whether Nix itself asks the gate before the profile of the system is changed. Then root's own
          {command}`nixos-rebuild switch` is checked, too, and needs people's signatures; {command}`nixos-rebuild test` is
          not. Who has full sudo can set it aside: this is a guard rail, and no wall. It needs the patches.
        '';
      };
    };

    verifySystem = {
      enable = switch ''
        Whether the activation gate is asked about the running system at times. If somebody who vouched for it was revoked as
        compromised since then, or nobody ever vouched for it, {file}`nixcert-verify-system.service` fails.
      '';

      dates = mkOption {
        type = types.str;
        default = "daily";
        example = "Mon 06:00";
        description = "When that is asked, as a calendar event of systemd ({manpage}`systemd.time(7)`).";
      };
    };

    installedLists = mkOption {
      type = types.package;
      internal = true;
      readOnly = true;
      default = revocationLists;
      description = "The directory with the lists that were verified.";
    };
  };

  config = mkIf cfg.enable (mkMerge [
    {
      environment.systemPackages = [ cfg.package ];
      # By a name that stays, and not by the store path: so it counts at once for workers of the daemon, which keep nix.conf.
      environment.etc."nixcert/policy.toml".source = checkedPolicy;
      nix.settings = {
        ca-policy-file = "/etc/nixcert/policy.toml";
        ca-host-name =
          let
            name = config.networking.fqdnOrHostName;
            hasName =
              !lib.elem config.networking.hostName [
                ""
                "nixos"
              ];
          in
          mkIf (hasName && builtins.match "[a-z0-9.-]{1,253}" name != null) (mkDefault name);
      };
    }

    (mkIf (cfg.integration == "patch") {
      nix.package = mkDefault (
        (pkgs.nixcertVersions
          or (throw "pkgs has no nixcertVersions: import nixosModules.default, or add overlays.default to nixpkgs.overlays")
        ).stable
      );
    })

    (mkIf (cfg.integration == "plugin") {
      nix.settings.plugin-files =
        let
          plugin = pkgs.nixcert-plugin.override { nix = config.nix.package; };
        in
        [ "${plugin}/${plugin.file}" ];
      systemd.services.nix-daemon.environment.NIX_REMOTE = "nixcert-plugin://";
    })

    (mkIf cfg.activation.enable {
      security.nixcert.settings.activation.vendors = mkDefault [
        "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY="
      ];
    })

    # The last rule that matches decides, so this one comes behind those that ask for a password.
    (mkIf (cfg.activation.enable && cfg.activation.group != null) {
      security.sudo.extraRules = mkIf config.security.sudo.enable (lib.mkAfter [ sudoRule ]);
      security.sudo-rs.extraRules = mkIf config.security.sudo-rs.enable (lib.mkAfter [ sudoRule ]);
    })

    (mkIf (cfg.activation.enable && cfg.activation.guardSystemProfile) {
      nix.settings = {
        guarded-profiles = [ "/nix/var/nix/profiles/system" ];
        profile-guard = "${nixcert} check-closure";
      };
    })
  ]);
}
