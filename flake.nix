{
  description = "Certificates for signing Nix packages";

  # There is no lock file yet: `nix flake lock` makes one where there is a network.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { nixpkgs, ... }:
    let
      inherit (nixpkgs) lib;
      inherit (import ./nixos) overlays nixosModules;

      each =
        f:
        lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (
          system: f (nixpkgs.legacyPackages.${system}.extend overlays.default)
        );
    in
    {
      inherit overlays nixosModules;

      packages = each (
        pkgs:
        {
          default = pkgs.nixcert;
          nix = pkgs.nixcertVersions.stable;
          demo = pkgs.callPackage ./nixos/demo.nix { };
          inherit (pkgs) nixcert nixcert-plugin;
        }
        // lib.filterAttrs (name: _: lib.hasPrefix "nix_" name) pkgs.nixcertVersions
      );

      apps = each (pkgs: {
        demo = {
          type = "app";
          program = lib.getExe (pkgs.callPackage ./nixos/demo.nix { });
          meta.description = "Certify a key, sign with it, and see what a host accepts and refuses";
        };
      });

      checks = each (pkgs: import ./nixos/checks.nix { inherit pkgs; });

      devShells = each (pkgs: {
        default = pkgs.mkShell {
          packages = [
            pkgs.cargo
            pkgs.rustc
            pkgs.rustfmt
            pkgs.clippy
            pkgs.meson
            pkgs.ninja
            pkgs.pkg-config
            pkgs.clang-tools
            pkgs.nixfmt
          ];
        };
      });

      formatter = each (pkgs: pkgs.nixfmt-tree);
    };
}
