# Overlays for nixpkgs.
#
#   default    adds nixcert, nixcert-plugin (for pkgs.nix) and nixcertVersions. It changes nothing that was there, so nothing is
#              built again.
#   replace    also makes pkgs.nix the stable one of nixcertVersions. That Nix, and whatever in nixpkgs is built with or refers
#              to pkgs.nix (nixos-rebuild, nix-direnv, nixpkgs-review, …), is then built here: no public cache has it.
let
  default =
    final: prev:
    let
      inherit (final) lib;
      supported = import ./supported.nix { inherit lib; };

      /**
        A Nix that checks certificates, from a Nix without: nixpkgs' `nixVersions.nixComponents_*`, the same of Nix's own flake,
        or a package that was made of such. The result is the package; its attribute `nixcert` says which series it has.

        `appendPatches` and `overrideScope` are there on the components and on the package. The first ones give components, the
        others a package, and all act on one fixed point.
      */
      withCertificates =
        nix:
        let
          it = supported.forVersion nix.version;
          patched = (nix.appendPatches it.patches).overrideScope (
            _: components: {
              nix-store = components.nix-store.overrideAttrs (stock: {
                buildInputs = stock.buildInputs or [ ] ++ [ final.nixcert.dev ];
                mesonFlags = stock.mesonFlags or [ ] ++ [ (lib.mesonEnable "certificates" true) ];
              });
              # The package has handles (`appendPatches` & co) that overrideAttrs loses.
              nix-everything =
                components.nix-everything
                // components.nix-everything.overrideAttrs (stock: {
                  passthru = stock.passthru or { } // {
                    nixcert = { inherit (it) series release; };
                  };
                });
            }
          );
        in
        # A version without a series is the first thing to know.
        builtins.seq it (
          lib.throwIf (nix ? nixcert || nix ? nix-everything.nixcert)
            "this Nix (${nix.version}) has nixcert's patches already: give `withCertificates` the stock one"
            lib.throwIfNot
            (nix ? appendPatches && nix ? overrideScope)
            (
              "nixcert cannot patch this Nix (${nix.version}): it has no `appendPatches` and `overrideScope`, because it is"
              + " not made of components, or was changed by `overrideAttrs`. Take `nixVersions.nixComponents_*`"
            )
            (patched.nix-everything or patched)
        );

      # `?` does not look at the value, which for removed versions is nixpkgs' explanation.
      present = lib.filter (name: prev.nixVersions ? ${name});

      releases = lib.listToAttrs (
        lib.concatMap (
          it:
          let
            release = lib.replaceString "." "_" it.release;
          in
          map (
            name: lib.nameValuePair "nix_${release}" (withCertificates prev.nixVersions.${name})
          ) (present [ "nixComponents_${release}" ])
        ) supported.series
      );

      # Whether there is a series for what these are today shows when they are used. `git` runs ahead of the series for master:
      # its release may have a series whose patches no longer fit, and then it is the build that fails.
      moving = lib.genAttrs (present [
        "stable"
        "latest"
        "git"
      ]) (name: withCertificates prev.nixVersions.${name});
    in
    {
      nixcert = final.callPackage ./package.nix { };
      nixcert-plugin = final.callPackage ./plugin.nix { };
      nixcertVersions = releases // moving // { inherit withCertificates; };
    };
in
{
  inherit default;

  # What is patched is prev's nixVersions, so pkgs.nix is not made of itself.
  replace = final: prev: default final prev // { nix = final.nixcertVersions.stable; };
}
