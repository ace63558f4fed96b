# A system as NixOS makes them, as far as a gate can tell: a top-level path with a switch script, set-user-ID programs,
# units and /etc, of which one is made with a build tool that is not in the closure.
#
# Each version is another system all over; `change` changes one unit and what contains it.
{
  version,
  change ? "",
  # Whether a path differs from one build to the next.
  unreproducible ? false,
  # The store path of something that was not built here.
  vendor ? "",
  # The size of a file of zeros, in MiB.
  ballast ? 0,
  # What the switch script does beside.
  script ? "",
}:
let
  make =
    name: attributes: text:
    derivation (
      {
        inherit name;
        system = builtins.currentSystem;
        builder = "/bin/sh";
        args = [
          "-euc"
          text
        ];
        PATH = "/usr/bin:/bin";
      }
      // attributes
    );

  source = builtins.toFile "configuration-${version}" "The configuration of version ${version}.";

  # Writes what it is told to; a doctored one writes more.
  tool = make "stamp-${version}" { } ''
    mkdir -p $out/bin
    printf '#!/bin/sh\necho "$*"\n' > $out/bin/stamp
    chmod 755 $out/bin/stamp
  '';

  sudo = make "sudo-1.9.17" { } ''
    mkdir -p $out/bin
    echo "the real sudo of version ${version}" > $out/bin/sudo
  '';

  service = make "unit-web.service" { } ''
    mkdir $out
    echo "ExecStart=web --version ${version}${change}" > $out/web.service
  '';

  # As a kernel's image or a manual with a time in it.
  unsteady = make "unsteady-${version}" { } ''
    cat ${if unreproducible then "/proc/sys/kernel/random/uuid" else "/dev/null"} > $out
  '';

  heavy = make "heavy-${version}" { } ''
    head -c ${toString (ballast * 1048576)} /dev/zero > $out
  '';

  etc = make "etc" { inherit tool service source; } ''
    mkdir -p $out/systemd
    $tool/bin/stamp "version ${version}${change}" > $out/version
    ln -s $service/web.service $out/systemd/web.service
    ln -s $source $out/configuration
  '';

  # Gets the system that it is of, and the action.
  switch = make "switch-${version}" { inherit script; passAsFile = [ "script" ]; } ''
    mkdir -p $out/bin
    cat > $out/bin/switch <<'END'
    #!/bin/sh
    set -eu
    echo "$2 $1" >> /run/activated
    case $2 in
        switch | boot)
            echo "$1" > /boot/entry.new
            mv /boot/entry.new /boot/entry ;;
    esac
    case $2 in
        switch | test)
            ln -sfn "$1" /run/current-system ;;
    esac
    END
    cat "$scriptPath" >> $out/bin/switch
    chmod 755 $out/bin/switch
  '';

  path = make "system-path" { inherit sudo; } ''
    mkdir -p $out/bin
    ln -s $sudo/bin/sudo $out/bin/sudo
  '';
in
make "nixos-system-web-1"
  {
    inherit
      etc
      path
      unsteady
      heavy
      switch
      ;
    # As a text it would be no reference.
    vendor = if vendor == "" then "" else builtins.storePath vendor;
  }
  ''
    mkdir -p $out/bin
    ln -s $etc $out/etc
    ln -s $path $out/sw
    ln -s $unsteady $out/unsteady
    ln -s $heavy $out/heavy
    test -z "$vendor" || ln -s "$vendor" $out/vendor
    echo "version ${version}${change}" > $out/nixos-version
    printf '#!/bin/sh\nexec %s/bin/switch %s "$1"\n' $switch $out > $out/bin/switch-to-configuration
    chmod 755 $out/bin/switch-to-configuration
  ''
