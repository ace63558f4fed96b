# Assertions about what certainly undoes certificates, or leaves them without effect, and warnings about what probably does.
{
  config,
  lib,
  ...
}:
let
  inherit (lib)
    any
    concatStringsSep
    elem
    filter
    mkIf
    mkMerge
    optional
    optionals
    ;
  inherit (import ./keys.nix { inherit lib; }) clashes trustedKeys;

  cfg = config.security.nixcert;
  nix = config.nix;
  settings = nix.settings;

  keys = trustedKeys settings;
  isPatched = nix.package ? nixcert;
  isPlugin = cfg.enable && cfg.integration == "plugin";
  version = lib.getVersion nix.package;

  ours = filter (name: settings ? ${name}) [
    "trusted-ca-keys"
    "extra-trusted-ca-keys"
    "ca-policy-file"
    "ca-host-name"
  ];
  guards = filter (name: settings ? ${name}) [
    "guarded-profiles"
    "profile-guard"
  ];
  listed = concatStringsSep ", ";
  quoted = names: listed (map (name: "'${name}'") names);

  pluginReleases = map (series: series.release) (
    filter (series: series.plugin) (import ../supported.nix { inherit lib; }).series
  );

  authorities = cfg.settings.ca;
  trustedNames = lib.unique (map (key: lib.head (lib.splitString ":" key)) keys);
  withoutTable = filter (name: !authorities ? ${name}) trustedNames;
  hasGate = cfg.settings.activation != null;

  # Both of a setting and of its twin that adds to it.
  values = name: lib.toList (settings.${name} or [ ]) ++ lib.toList (settings."extra-${name}" or [ ]);
  trustedUsers = filter (user: user != "root") (lib.unique (values "trusted-users"));
  trustedStores = filter (url: builtins.match ".*[?&]trusted=(1|true|yes)(&.*)?" url != null) (
    values "substituters" ++ values "trusted-substituters"
  );
  secretKeys = values "secret-key-files";

  # By words, since this is text: settings of ours, or such that undo them, that no option knows of.
  textual =
    filter
      (
        name:
        any (line: builtins.match "[[:space:]]*(extra-)?${name}[[:space:]]*=.*" line != null) (
          lib.splitString "\n" nix.extraOptions
        )
      )
      [
        "ca-host-name"
        "ca-policy-file"
        "guarded-profiles"
        "plugin-files"
        "profile-guard"
        "require-sigs"
        "trusted-ca-keys"
        "trusted-users"
      ];

  group = cfg.activation.group;
  membersOf =
    group:
    (config.users.groups.${group}.members or [ ])
    ++ lib.attrNames (
      lib.filterAttrs (_: user: user.group == group || elem group user.extraGroups) config.users.users
    );
  deployers = if group == null then [ ] else lib.unique (membersOf group);
  trustedDeployers =
    optional (group != null && elem "@${group}" trustedUsers) "@${group}"
    ++ filter (
      user:
      elem user trustedUsers
      || any (
        trusted: lib.hasPrefix "@" trusted && elem user (membersOf (lib.removePrefix "@" trusted))
      ) trustedUsers
    ) deployers;

  # Whom sudo lets run everything.
  unlimited =
    kind:
    optionals config.security.${kind}.enable (
      filter (
        rule: any (command: command == "ALL" || (command.command or null) == "ALL") rule.commands
      ) config.security.${kind}.extraRules
    );
  unlimitedRules = unlimited "sudo" ++ unlimited "sudo-rs";
  isUnlimited =
    user:
    any (
      rule:
      elem user rule.users
      || any (group: builtins.isString group && elem user (membersOf group)) rule.groups
    ) unlimitedRules;
  unlimitedDeployers =
    optional (group != null && any (rule: elem group rule.groups) unlimitedRules) "%${group}"
    ++ filter isUnlimited deployers;

  # A message is one line, whatever its lines here.
  inOneLine =
    text: concatStringsSep " " (filter (line: line != "") (map lib.trim (lib.splitString "\n" text)));
  check = assertion: message: {
    inherit assertion;
    message = inOneLine message;
  };
  warn = condition: message: optional condition (inOneLine message);

  ofKeys =
    let
      clash = clashes keys;
    in
    [
      (check (clash.names == [ ]) ''
        nix.settings.trusted-ca-keys has two keys of the name ${quoted clash.names}: then no certificate of any CA counts.
        Take out the wrong one, or give the new key a name of its own, such as acme-2026-2.
      '')
      (check (clash.keys == [ ]) ''
        nix.settings.trusted-ca-keys has one key under several names (${concatStringsSep "; " (map quoted clash.keys)}):
        then no certificate of any CA counts. Leave the name that the CA's keeper gave it.
      '')
      (check (keys == [ ] || settings.require-sigs or true) ''
        nix.settings.require-sigs is false, so Nix asks for no signature, and nix.settings.trusted-ca-keys protects nothing.
        Set it to true, or remove it.
      '')
    ];

  ofPackage = [
    (check (ours == [ ] || isPlugin || isPatched) ''
      nix.settings has ${listed ours}, and nix.package (Nix ${version}) has not nixcert's patches: it does not know these
      settings. ${
        if cfg.enable then
          "Take out nix.package, or set it to pkgs.nixcertVersions.withCertificates of its nixComponents"
        else
          "Set security.nixcert.enable, or nix.package to one of pkgs.nixcertVersions"
      }; or leave Nix as it is, with security.nixcert.integration = "plugin".
    '')
    (check (guards == [ ] || isPatched) ''
      nix.settings has ${listed guards}, and nix.package (Nix ${version}) has not nixcert's patches: it does not know these
      settings, and the plugin does not have them. Take them out, or set nix.package to one of pkgs.nixcertVersions.
    '')
    (check (lib.length guards != 1) ''
      nix.settings has ${listed guards} alone, so no guarded profile could be changed any more, or none is guarded. Set
      guarded-profiles and profile-guard, or neither.
    '')
  ];

  ofPlugin = [
    (check (!isPatched) ''
      security.nixcert.integration is "plugin", and nix.package (Nix ${version}) has nixcert's patches, which do the same.
      Remove one of the two lines.
    '')
    (check (isPatched || nix.package ? libs.nix-store) ''
      security.nixcert.integration is "plugin", and nix.package (Nix ${version}) is not built of components with shared
      libraries (it has no 'libs.nix-store'), so it can load none. Set nix.package to one of pkgs.nixVersions, or use the
      patches.
    '')
    (check (isPatched || elem (lib.versions.majorMinor version) pluginReleases) ''
      security.nixcert.integration is "plugin", and there is none for Nix ${version}, but for ${listed pluginReleases}. Set
      nix.package to one of these, or use the patches.
    '')
    (check (!cfg.activation.guardSystemProfile) ''
      security.nixcert.activation.guardSystemProfile needs the patches: with security.nixcert.integration = "plugin" Nix
      does not ask before a profile is changed. Switch it off, or use the patches.
    '')
  ];

  ofTrust = [
    (check nix.enable ''
      security.nixcert.enable is set, and nix.enable is false: NixOS writes no nix.conf then, so no CA is trusted and no
      certificate counts. Set nix.enable, or remove it.
    '')
    (check (settings.ca-policy-file or null == "/etc/nixcert/policy.toml") ''
      nix.settings.ca-policy-file is not the policy that security.nixcert.settings makes, so that would not be in force.
      Remove the line, or switch security.nixcert.enable off.
    '')
    (check (keys != [ ]) ''
      security.nixcert.enable is set, and no CA is trusted, so no certificate counts. Put the line that 'nixcert ca init'
      printed into nix.settings.trusted-ca-keys.
    '')
    (check (authorities != { }) ''
      security.nixcert.settings.ca is empty, so the policy lets no CA do anything. Write security.nixcert.settings.ca.NAME
      for ${
        if trustedNames == [ ] then "each CA" else quoted trustedNames
      }, with permitted-names and usages.
    '')
    (check (cfg.revocationLists == [ ] || cfg.settings.revocation-lists != null) ''
      security.nixcert.revocationLists has lists, and security.nixcert.settings.revocation-lists, which says where this host
      holds them, is null. Remove that line.
    '')
    (check (!cfg.dropIn.enable || cfg.settings.revocation-lists != null) ''
      security.nixcert.dropIn.enable is set, and security.nixcert.settings.revocation-lists, which says where this host
      holds its lists, is null. Remove that line.
    '')
    (check (!cfg.dropIn.enable || cfg.dropIn.group != null) ''
      security.nixcert.dropIn.enable is set, and nobody may put lists there. Set security.nixcert.dropIn.group, to "users"
      say.
    '')
  ];

  ofGate = [
    (check (cfg.activation.enable || group == null) ''
      security.nixcert.activation.group is set, and the activation gate is off, so nobody of '${toString group}' may
      activate anything. Set security.nixcert.activation.enable, or remove the group.
    '')
    (check (cfg.activation.enable || !cfg.activation.guardSystemProfile) ''
      security.nixcert.activation.guardSystemProfile is set, and the activation gate is off, so it would refuse every
      system. Set security.nixcert.activation.enable.
    '')
    (check (!hasGate || settings ? ca-host-name) ''
      The activation gate needs the name of this host, since people vouch for systems of certain hosts, and it has none
      ('${config.networking.hostName}' is none that nixcert could use). Set networking.hostName, or
      nix.settings.ca-host-name.
    '')
    (check (!hasGate || any (ca: elem "vouch-for-systems" ca.usages) (lib.attrValues authorities)) ''
      The activation gate is on, and no CA may certify people who vouch for systems, so nothing could ever be activated. Add
      "vouch-for-systems" to security.nixcert.settings.ca.NAME.usages of one.
    '')
    (check
      (
        group == null
        || !cfg.activation.enable
        || group == "wheel"
        || !(config.security.sudo.enable && (config.security.sudo.execWheelOnly or false))
      )
      ''
        security.sudo.execWheelOnly is set, so members of '${toString group}' cannot start sudo, and none could activate
        anything. Remove it: the rule gives them nixcert activate, repair and revocation install alone.
      ''
    )
    (check
      (
        group == null
        || !cfg.activation.enable
        || !config.security.sudo-rs.enable
        || lib.versionAtLeast (lib.getVersion config.security.sudo-rs.package) "0.2.13"
      )
      ''
        sudo-rs before 0.2.13 takes 'nixcert activate *' by the letter, so nobody of '${toString group}' could activate
        anything. Use security.sudo, or a newer sudo-rs.
      ''
    )
    (check (!cfg.verifySystem.enable || hasGate) ''
      security.nixcert.verifySystem.enable asks the activation gate, and that is off, so it would fail each time. Set
      security.nixcert.activation.enable.
    '')
    (check
      (
        group == null
        || !cfg.activation.enable
        || config.security.sudo.enable
        || config.security.sudo-rs.enable
      )
      ''
        security.nixcert.activation.group is set, and there is no sudo by which its members could reach root's gate. Set
        security.sudo.enable, or remove the group.
      ''
    )
  ];

  generalWarnings =
    warn (trustedUsers != [ ]) ''
      nix.settings.trusted-users has ${listed trustedUsers}: they add any path to the store, without a signature that
      anybody checks, so nix.settings.trusted-ca-keys does not bind them. Leave root alone there, and give them
      certificates.
    ''
    ++ warn (nix.sshServe.enable && nix.sshServe.trusted) ''
      nix.sshServe.trusted is set: who may log in as nix-ssh adds any path to the store, without a signature that anybody
      checks. Set it to false, and give these people certificates.
    ''
    ++ warn (trustedStores != [ ]) ''
      nix.settings has stores that Nix believes without signatures (${listed trustedStores}): whoever runs them is bound
      by no certificate. Take 'trusted' out of their addresses, and sign what they have.
    ''
    ++ warn (secretKeys != [ ]) ''
      nix.settings.secret-key-files is set on a host that imports by certificates: it signs what it builds of other
      people's inputs, and others trust that. Build for others on a machine that does not import, or sign with a person's
      key.
    ''
    ++ warn (
      textual != [ ]
    ) "nix.extraOptions sets ${listed textual}, which is not checked there. Use nix.settings.";

  ownWarnings =
    warn (withoutTable != [ ]) ''
      nix.settings.trusted-ca-keys has ${quoted withoutTable}, and security.nixcert.settings.ca has no table of that name:
      none of that CA's certificates counts. Write one, or take out the key.
    ''
    ++ warn (!hasGate && !settings ? ca-host-name) ''
      This host has no name in certificates, so those that are limited to certain hosts do not count. Set
      networking.hostName, or nix.settings.ca-host-name.
    ''
    ++ warn (trustedDeployers != [ ]) ''
      ${listed trustedDeployers} may activate systems (security.nixcert.activation.group), and add any path without a
      signature (nix.settings.trusted-users). That gets nobody past the gate, but leaves it alone before the machine: take
      them out of the trusted users.
    ''
    ++ warn (unlimitedDeployers != [ ]) ''
      ${listed unlimitedDeployers} may run everything by sudo, so for them the activation gate is a guard rail, and no
      wall. Use a group of people for security.nixcert.activation.group who may run nothing else as root.
    ''
    ++ warn (cfg.activation.enable && group != null && !config.users.groups ? ${toString group}) ''
      There is no group '${toString group}' (security.nixcert.activation.group) in users.groups. If no directory has it
      either, nobody may activate.
    ''
    ++
      warn
        (
          cfg.dropIn.enable
          && cfg.dropIn.group != null
          && cfg.dropIn.group != group
          && !config.users.groups ? ${toString cfg.dropIn.group}
        )
        ''
          There is no group '${toString cfg.dropIn.group}' (security.nixcert.dropIn.group) in users.groups. If no directory
          has it either, nobody may bring a list.
        '';
in
{
  config = mkMerge [
    {
      assertions = optionals nix.enable ofPackage;
    }
    (mkIf (keys != [ ]) {
      assertions = ofKeys;
      warnings = generalWarnings;
    })
    (mkIf cfg.enable {
      assertions = ofTrust ++ ofGate ++ optionals isPlugin ofPlugin;
      warnings = ownWarnings;
    })
  ];
}
