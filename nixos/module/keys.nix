# Public keys as Nix writes them, NAME:BASE64, and what is wrong with one that is not (FORMAT K6). Whether a curve point is
# usable is asked by nixcert when the system is built; all the rest can be told here, with the name of the option.
{ lib }:
let
  inherit (builtins)
    elemAt
    match
    stringLength
    ;

  # 32 bytes in base64: the last character but one has two bits that must be zero.
  canonical = "[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=";

  bytesOf =
    base64:
    let
      padding = stringLength (elemAt (match "[^=]*(=*)" base64) 0);
    in
    stringLength base64 * 3 / 4 - padding;

  # What is wrong with a key, or null. It never shows what is behind the colon: that may be a secret, put here by mistake.
  problemOf =
    nameClass: text:
    let
      parts = match "([^:]*):(.*)" text;
      name = elemAt parts 0;
      base64 = elemAt parts 1;
      fault = what: "the key '${name}' ${what}";
    in
    if match "[^[:space:]]*" text == null then
      "it has white space in it: write each key as a list item of its own"
    else if parts == null then
      "there is no ':' in it: a key is NAME:BASE64, as 'nixcert ca init' prints it"
    else if name == "" then
      "it has no name: a key is NAME:BASE64, as 'nixcert ca init' prints it"
    else if match nameClass name == null then
      fault "has a name with other characters than letters, digits, '.', '-', '_' and '+'"
    else if lib.hasInfix ".nixcert1." name then
      fault "has a certificate in its name: a CA's has none"
    else if match "[A-Za-z0-9+/]*=*" base64 == null || lib.mod (stringLength base64) 4 != 0 then
      fault "is not whole: what is behind the colon is not base64 of 44 characters"
    else if bytesOf base64 == 64 then
      fault "is a secret key, and is now in the Nix store, where all can read it: give it up, and make a new one"
    else if bytesOf base64 != 32 then
      fault "is ${toString (bytesOf base64)} bytes long, and not 32: copy it again"
    else if match canonical base64 == null then
      fault "is not written as 'nixcert ca init' prints it (bits of its last character count for nothing): copy it again"
    else
      null;

  nameOf = key: lib.head (lib.splitString ":" key);

  keyType =
    {
      name,
      description,
      nameClass,
    }:
    lib.mkOptionType {
      inherit name description;
      descriptionClass = "noun";
      check = builtins.isString;
      merge =
        loc: defs:
        let
          key = lib.mergeEqualOption loc defs;
          problem = problemOf nameClass key;
        in
        if problem == null then
          key
        else
          throw "The option `${lib.showOption loc}' has a definition in ${
            lib.showFiles (map (def: def.file) defs)
          } that is no public key: ${problem}.";
    };
in
{
  caKey = keyType {
    name = "caKey";
    description = "public key of a CA (NAME:BASE64)";
    nameClass = "[A-Za-z0-9+._-]+";
  };

  # Nix takes any name that has no colon.
  publicKey = keyType {
    name = "publicKey";
    description = "public key (NAME:BASE64)";
    nameClass = ".+";
  };

  trustedKeys = settings: settings.trusted-ca-keys or [ ] ++ settings.extra-trusted-ca-keys or [ ];

  inherit nameOf;

  # Names that several keys have, and keys that have several names (FORMAT K6). The same entry may be there twice.
  clashes =
    keys:
    let
      distinct = lib.unique keys;
      base64Of = key: lib.last (lib.splitString ":" key);
      several = of: lib.filter (keys: lib.length keys > 1) (lib.attrValues (lib.groupBy of distinct));
    in
    {
      names = map (keys: nameOf (lib.head keys)) (several nameOf);
      keys = map (keys: map nameOf keys) (several base64Of);
    };
}
