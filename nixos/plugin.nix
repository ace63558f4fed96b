# The plugin, which lets a Nix without patches accept certificates. It is for exactly the Nix that it was built with.
{
  lib,
  stdenv,
  meson,
  ninja,
  pkg-config,
  nix,
  nixcert,
}:

let
  supported = import ./supported.nix { inherit lib; };
  it = supported.forVersion nix.version;
  releases = map (it: it.release) (lib.filter (it: it.plugin) supported.series);
in

lib.throwIf (nix ? nixcert)
  "this Nix (${nix.version}) checks certificates itself: the plugin is for one without nixcert's patches"
  lib.throwIfNot
  it.plugin
  (
    "nixcert has no plugin for Nix ${nix.version}, only for ${lib.concatStringsSep ", " releases}: take a Nix with the patches,"
    + " `nixcertVersions`"
  )
  lib.throwIfNot
  (nix ? libs.nix-store)
  (
    "nixcert's plugin needs a Nix that is made of components, such as `nixVersions.nixComponents_*`: this one (${nix.version})"
    + " has no `libs.nix-store`"
  )

  stdenv.mkDerivation
  {
    pname = "nixcert-plugin";
    version = "${nixcert.version}-nix-${nix.version}";

    src = lib.fileset.toSource {
      root = ../cpp-shim/plugin;
      fileset = ../cpp-shim/plugin;
    };

    strictDeps = true;
    nativeBuildInputs = [
      meson
      ninja
      pkg-config
    ];
    buildInputs = [
      nix.libs.nix-store
      nixcert.dev
    ];
    mesonFlags = [ (lib.mesonOption "series" it.series) ];

    passthru = {
      inherit nix;
      inherit (it) series release;
      # What `plugin-files` in nix.conf is to name.
      file = "lib/nixcert/libnixcert-plugin.so";
    };

    meta = {
      description = "Plugin that lets Nix ${nix.version} accept signatures by keys that a CA certified";
      license = lib.licenses.lgpl21Plus;
      platforms = lib.platforms.linux;
    };
  }
