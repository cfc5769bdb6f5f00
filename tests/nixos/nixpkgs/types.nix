# Types of options: a check of each value and a merge of all that count.
{ lib }:
let
  inherit (builtins)
    all
    concatLists
    concatMap
    elem
    genList
    head
    isAttrs
    isBool
    isFloat
    isFunction
    isInt
    isList
    isPath
    isString
    length
    mapAttrs
    match
    toJSON
    zipAttrsWith
    ;
  inherit (lib) pushDown resolve;
  show = lib.concatStringsSep ".";
  printed =
    value:
    if isFunction value then
      "<function>"
    else if lib.isDerivation value then
      "<derivation>"
    else
      toJSON value;

  type = description: check: merge: {
    _type = "option-type";
    inherit description check;
    getSubOptions = _: { };
    merge =
      path: definitions:
      let
        values = resolve definitions;
        wrong = lib.filter (value: !check value) values;
      in
      if wrong != [ ] then
        throw "A definition for option `${show path}' is not of type `${description}'. Definition value: ${printed (head wrong)}"
      else
        merge path values;
  };

  # All definitions must agree.
  equal =
    path: values:
    if values == [ ] then
      throw "The option `${show path}' was accessed but has no value defined. Try setting the option."
    else if all (value: value == head values) values then
      head values
    else
      throw "The option `${show path}' has conflicting definition values.";

  # the options of each member
  below =
    name: of: path:
    let
      options = of.getSubOptions (path ++ [ name ]);
    in
    if options == { } then { } else { ${name} = options; };

  between =
    description: low: high:
    type description (value: isInt value && value >= low && value <= high) equal;
in
rec {
  bool = type "boolean" isBool equal;
  int = type "signed integer" isInt equal;
  str = type "string" isString equal;
  lines = type "strings concatenated with \"\\n\"" isString (_: lib.concatStringsSep "\n");
  package = type "package" (
    value: lib.isDerivation value || (isString value && lib.hasPrefix builtins.storeDir value)
  ) equal;
  raw = type "raw value" (_: true) equal;
  path = type "absolute path" (
    value: isPath value || lib.isDerivation value || (isString value && lib.hasPrefix "/" value)
  ) equal;
  externalPath = type "absolute path not in the Nix store" (
    value: isString value && lib.hasPrefix "/" value && !lib.hasPrefix "${builtins.storeDir}/" value
  ) equal;
  strMatching =
    pattern:
    type "string matching the pattern ${pattern}" (
      value: isString value && match pattern value != null
    ) equal;
  enum =
    values:
    type "one of ${lib.concatMapStringsSep ", " toJSON values}" (value: elem value values) equal;
  ints.u16 = between "16 bit unsigned integer; between 0 and 65535 (both inclusive)" 0 65535;
  port = ints.u16;

  listOf =
    of:
    type "list of ${of.description}" isList (
      path: lists:
      let
        items = concatLists lists;
      in
      genList (
        index: of.merge (path ++ [ "[definition ${toString index}]" ]) [ (builtins.elemAt items index) ]
      ) (length items)
    )
    // {
      emptyValue = [ ];
      getSubOptions = path: below "*" of path;
    };

  attrsOf = of: {
    _type = "option-type";
    description = "attribute set of ${of.description}";
    check = isAttrs;
    emptyValue = { };
    getSubOptions = path: below "<name>" of path;
    merge =
      path: definitions:
      let
        values = concatMap pushDown (resolve definitions);
        alive = lib.filterAttrs (_: values: resolve values != [ ]) (
          zipAttrsWith (_: values: values) values
        );
      in
      if !all isAttrs values then
        throw "A definition for option `${show path}' is not of type `attribute set of ${of.description}'."
      else
        mapAttrs (name: of.merge (path ++ [ name ])) alive;
  };

  nullOr = of: {
    _type = "option-type";
    description = "null or ${of.description}";
    check = value: value == null || of.check value;
    inherit (of) getSubOptions;
    merge =
      path: definitions:
      let
        values = resolve definitions;
      in
      if values != [ ] && all (value: value == null) values then
        null
      else if lib.any (value: value == null) values then
        throw "The option `${show path}' is defined both null and not null."
      else
        of.merge path definitions;
  };

  # what JSON and YAML can hold
  value = {
    _type = "option-type";
    description = "YAML value";
    check = _: true;
    getSubOptions = _: { };
    merge =
      path: definitions:
      let
        values = resolve definitions;
      in
      if values != [ ] && all isAttrs values then
        (attrsOf value).merge path definitions
      else if values != [ ] && all isList values then
        concatLists values
      else if
        all (
          value:
          value == null || isBool value || isInt value || isFloat value || isString value || isPath value
        ) values
      then
        equal path values
      else
        throw "A definition for option `${show path}' is not of type `YAML value'. Definition value: ${printed (head values)}";
  };

  submodule =
    module:
    let
      evaluated =
        path: name: definitions:
        lib.evalModules {
          prefix = path;
          specialArgs = { inherit name; };
          modules = [ module ] ++ map asModule definitions;
        };
      asModule = definition: if isAttrs definition then { config = definition; } else definition;
    in
    {
      _type = "option-type";
      description = "submodule";
      check = value: isAttrs value || isFunction value;
      emptyValue = (evaluated [ ] "" [ ]).config;
      getSubOptions = path: (evaluated path "<name>" [ ]).options;
      merge = path: definitions: (evaluated path (lib.last path) (resolve definitions)).config;
    };
}
