# The reference of the module's options, in Markdown, generated from the module: what options.md is.
#
#   nix-instantiate --eval --raw --expr 'import ./options.nix { lib = import <nixpkgs/lib>; }' > options.md
{ lib }:
let
  inherit (import ./tests/stand-in/evaluate.nix { inherit lib; } [ ]) options;

  ours = lib.filter (
    option:
    option.visible
    && !option.internal
    && (
      lib.hasPrefix "security.nixcert." option.name
      || (lib.hasPrefix "nix.settings." option.name && lib.any isOurs option.declarations)
    )
    && !lib.hasInfix "_module" option.name
    && !lib.hasInfix "<freeform" option.name
  ) (lib.optionAttrSetToDocList options);

  isOurs = file: lib.hasInfix "nix-settings" (toString file);

  # Roles of NixOS' manual, which other readers of Markdown do not know.
  plain = lib.replaceStrings [ "{option}" "{file}" "{command}" "{manpage}" ] [ "" "" "" "" ];

  code =
    value:
    if lib.hasInfix "\n" value.text then "\n\n```nix\n${value.text}\n```" else " `${value.text}`";

  section =
    option:
    ''
      ## `${option.name}`

      ${lib.trim (plain (option.description.text or option.description))}

      - Type: ${option.type}
    ''
    + lib.optionalString (option ? default) "- Default:${code option.default}\n"
    + lib.optionalString (option ? example) "- Example:${code option.example}\n";
in
''
  # Options of the NixOS module

  Generated from the module by [options.nix](options.nix); a test compares them. `*` and `<name>` stand for any name.

''
+ lib.concatMapStringsSep "\n" section ours
