# The releases of Nix that have a series of patches: ../patches/supported.toml, and the file `series` of each.
{ lib }:

let
  directory = ../patches;

  # As `patches/*/series` is written: a file on each line, and headings that begin with `#`.
  filesIn =
    list:
    lib.filter (line: line != "" && !lib.hasPrefix "#" line) (map lib.trim (lib.splitString "\n" list));

  series = map (it: {
    inherit (it)
      series
      release
      tried
      plugin
      ;
    patches = map (file: directory + "/${it.series}/${file}") (
      filesIn (lib.readFile (directory + "/${it.series}/series"))
    );
  }) (lib.importTOML (directory + "/supported.toml")).nix;

  listed = lib.concatMapStrings (it: "  Nix ${it.release} (tried with ${it.tried})\n") series;
in
{
  # [ { series, release, tried, plugin, patches } ], oldest first.
  inherit series;

  /**
    The series for a version of Nix. "2.34.8", "2.34.8+1" (patched by others already) and "2.34pre20260822_88b09c64" (on the
    way to 2.34) are all of release 2.34.
  */
  forVersion =
    version:
    let
      release = lib.versions.majorMinor version;
    in
    lib.findFirst (it: it.release == release) (throw ''
      nixcert has no patches for Nix ${version}. It has some for
      ${listed}Take one of these, or port a series: patches/README.md in nixcert says how, below «Changing a patch».
    '') series;
}
