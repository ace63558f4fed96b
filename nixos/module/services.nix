# What runs on the host beside Nix: taking up revocation lists, and asking about the running system.
{ config, lib, ... }:
let
  inherit (lib) mkIf mkMerge;

  cfg = config.security.nixcert;
  nixcert = lib.getExe' cfg.package "nixcert";
  lists = cfg.settings.revocation-lists;
  incoming = "/var/lib/nixcert/incoming";

  # Root, who may write where the service says, and has nothing but files to do with.
  confined = {
    Type = "oneshot";
    CapabilityBoundingSet = "";
    LockPersonality = true;
    MemoryDenyWriteExecute = true;
    NoNewPrivileges = true;
    PrivateDevices = true;
    PrivateNetwork = true;
    PrivateTmp = true;
    ProtectClock = true;
    ProtectControlGroups = true;
    ProtectHome = true;
    ProtectHostname = true;
    ProtectKernelLogs = true;
    ProtectKernelModules = true;
    ProtectKernelTunables = true;
    ProtectSystem = "strict";
    RestrictAddressFamilies = "AF_UNIX";
    RestrictNamespaces = true;
    RestrictRealtime = true;
    RestrictSUIDSGID = true;
    SystemCallArchitectures = "native";
    SystemCallFilter = "@system-service";
    TimeoutStartSec = "15min";
  };

  directory = mode: group: {
    d = {
      inherit mode group;
      user = "root";
    };
  };
in
{
  config = mkIf cfg.enable (mkMerge [
    # While it is missing, nobody knows what is revoked, and no certificate counts: a fresh host must have it, and be it empty.
    (mkIf (lists != null) {
      systemd.tmpfiles.settings."10-nixcert" = {
        "/var/lib/nixcert" = directory "0755" "root";
        ${lists} = directory "0755" "root";
      };
    })

    (mkIf (lists != null && cfg.revocationLists != [ ]) {
      systemd.services.nixcert-revocation-lists = {
        description = "Taking up revocation lists of the system's configuration";
        wantedBy = [
          "multi-user.target"
          "nix-daemon.service"
        ];
        before = [ "nix-daemon.service" ];
        after = [
          "systemd-tmpfiles-setup.service"
          "systemd-tmpfiles-resetup.service"
        ];
        unitConfig.RequiresMountsFor = lists;
        serviceConfig = confined // {
          RemainAfterExit = true;
          ReadWritePaths = [ lists ];
        };
        # That the host holds a newer one is as it should be.
        script = "${nixcert} revocation install --keep-newer ${cfg.installedLists}/*.list";
      };
    })

    (mkIf (lists != null && cfg.dropIn.enable && cfg.dropIn.group != null) {
      systemd.tmpfiles.settings."10-nixcert".${incoming} = directory "1730" cfg.dropIn.group;

      systemd.services.nixcert-incoming = {
        description = "Taking up revocation lists that people brought";
        # Whoever may write there could otherwise exhaust the limit, and keep newer lists out.
        unitConfig = {
          StartLimitIntervalSec = 0;
          RequiresMountsFor = [
            lists
            incoming
          ];
          ConditionPathIsDirectory = incoming;
        };
        serviceConfig = confined // {
          ExecStart = "${nixcert} revocation install --drop-in ${incoming}";
          # One was refused, as the journal says: no fault of this host.
          SuccessExitStatus = 1;
          ReadWritePaths = [
            lists
            # It is not there if its group is not.
            "-${incoming}"
          ];
          # What people put there waits for everything else.
          Nice = 19;
          IOSchedulingClass = "idle";
          # Files of others, which they may have made unreadable.
          CapabilityBoundingSet = "CAP_DAC_OVERRIDE";
          MemoryMax = "1G";
          TasksMax = 16;
        };
      };

      systemd.paths.nixcert-incoming = {
        wantedBy = [ "multi-user.target" ];
        pathConfig.PathChanged = incoming;
      };

      # What was half written when it was looked at, or came before the path was watched.
      systemd.timers.nixcert-incoming = {
        wantedBy = [ "timers.target" ];
        timerConfig = {
          OnBootSec = "1min";
          OnUnitInactiveSec = "1min";
        };
      };
    })

    (mkIf cfg.verifySystem.enable {
      systemd.services.nixcert-verify-system = {
        description = "Asking whether people vouch for the running system";
        serviceConfig = confined // {
          ExecStart = "${nixcert} check-closure /run/current-system";
          # Who reads an SQLite database keeps a lock beside it.
          ReadWritePaths = [ "/nix/var/nix/db" ];
        };
      };

      systemd.timers.nixcert-verify-system = {
        wantedBy = [ "timers.target" ];
        timerConfig = {
          OnCalendar = cfg.verifySystem.dates;
          Persistent = true;
        };
      };
    })
  ]);
}
