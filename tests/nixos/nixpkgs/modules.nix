# The module system: definitions with conditions, priorities and orders; options; imports, each file once.
{ lib }:
let
  inherit (builtins)
    attrNames
    concatLists
    concatStringsSep
    filter
    foldl'
    genericClosure
    isAttrs
    isBool
    isFunction
    isPath
    isString
    mapAttrs
    removeAttrs
    sort
    zipAttrsWith
    ;
  isA = type: value: isAttrs value && value._type or null == type;

  # ---- properties of definitions
  properties = rec {
    mkIf = condition: content: {
      _type = "if";
      inherit condition content;
    };
    mkMerge = contents: {
      _type = "merge";
      inherit contents;
    };
    mkOverride = priority: content: {
      _type = "override";
      inherit priority content;
    };
    mkOrder = priority: content: {
      _type = "order";
      inherit priority content;
    };
    mkOptionDefault = mkOverride 1500;
    mkDefault = mkOverride 1000;
    mkForce = mkOverride 50;
    mkBefore = mkOrder 500;
    mkAfter = mkOrder 1500;
  };

  # Properties pushed one level down, conditions not looked at: a definition gives a list of plain sets.
  pushDown =
    definition:
    if isA "merge" definition then
      concatLists (map pushDown definition.contents)
    else if isA "if" definition then
      map (mapAttrs (_: properties.mkIf definition.condition)) (pushDown definition.content)
    else if isA "override" definition then
      map (mapAttrs (_: properties.mkOverride definition.priority)) (pushDown definition.content)
    else if isA "order" definition then
      map (mapAttrs (_: properties.mkOrder definition.priority)) (pushDown definition.content)
    else
      [ definition ];

  # Properties decided: a definition gives a list of { priority, order, value }.
  discharge =
    priority: order: definition:
    if isA "merge" definition then
      concatLists (map (discharge priority order) definition.contents)
    else if isA "if" definition then
      if !isBool definition.condition then
        throw "mkIf was given a condition that is no boolean"
      else if definition.condition then
        discharge priority order definition.content
      else
        [ ]
    else if isA "override" definition then
      # not looked into: a weaker one need not even have a value
      [
        {
          inherit order;
          inherit (definition) priority;
          value = definition.content;
        }
      ]
    else if isA "order" definition then
      discharge priority definition.priority definition.content
    else
      [
        {
          inherit priority order;
          value = definition;
        }
      ];

  # The values that count: those of the strongest priority, in order.
  resolve =
    definitions:
    let
      decided = concatLists (map (discharge 100 1000) definitions);
      strongest = foldl' (least: it: if it.priority < least then it.priority else least) 9999 decided;
    in
    map (it: it.value) (
      sort (one: other: one.order < other.order) (filter (it: it.priority == strongest) decided)
    );

  # ---- modules
  normal =
    module:
    let
      full = module ? config || module ? options;
      rest = removeAttrs module [
        "_class"
        "_file"
        "freeformType"
        "imports"
        "key"
      ];
    in
    {
      imports = module.imports or [ ];
      freeform = module.freeformType or null;
      options = if full then module.options or { } else { };
      config = if full then module.config or { } else rest;
    };

  # All modules that these import; a file, or a module with a key, counts once.
  closure =
    arguments: modules:
    let
      load =
        parent: index: module:
        let
          file = isPath module || isString module;
          read = if file then import module else module;
          value = if isFunction read then read arguments else read;
        in
        {
          key = if file then toString module else value.key or "${parent}:${toString index}";
          module = normal value;
        };
    in
    map (it: it.module) (genericClosure {
      startSet = lib.imap0 (load "") modules;
      operator = it: lib.imap0 (load it.key) it.module.imports;
    });

  evalModules =
    {
      modules,
      specialArgs ? { },
      prefix ? [ ],
    }:
    let
      loaded = closure (specialArgs // { inherit lib config options; }) modules;
      freeform = foldl' (
        found: module: if module.freeform != null then module.freeform else found
      ) null loaded;

      mergeOptions = zipAttrsWith (
        _: declarations:
        let
          declared = filter (isA "option") declarations;
        in
        if declared != [ ] then
          foldl' (merged: it: merged // it) { } declared
        else
          mergeOptions declarations
      );
      options = mergeOptions (map (module: module.options) loaded);

      evalTree =
        path: tree: definitions:
        let
          byName = zipAttrsWith (_: values: values) (concatLists (map pushDown definitions));
          evaluate =
            name: it:
            (if isA "option" it then evalOption else evalTree) (path ++ [ name ]) it (byName.${name} or [ ]);
        in
        mapAttrs evaluate tree // undeclared path (removeAttrs byName (attrNames tree));

      undeclared =
        path: byName:
        let
          alive = lib.filterAttrs (_: definitions: resolve definitions != [ ]) byName;
          first = concatStringsSep "." (path ++ [ (lib.head (attrNames alive)) ]);
        in
        if byName == { } then
          { }
        else if freeform != null then
          freeform.merge path [ (mapAttrs (_: properties.mkMerge) byName) ]
        else if alive == { } then
          { }
        else
          throw "The option `${first}' does not exist.";

      evalOption =
        path: option: definitions:
        let
          default = lib.optional (option ? default) (properties.mkOptionDefault option.default);
          given = default ++ definitions;
        in
        if resolve given == [ ] && option.type ? emptyValue then
          option.type.emptyValue
        else
          (option.apply or (value: value)) (option.type.merge path given);

      # a later module's list items come first, as in nixpkgs
      config = evalTree prefix options (map (module: module.config) (lib.reverseList loaded));
    in
    {
      inherit config options;
    };

  mkOption = attrs: attrs // { _type = "option"; };

  # As nixpkgs gives them to its manual: a list of { name, description, default, example, type }.
  optionAttrSetToDocList =
    let
      walk =
        path: tree:
        lib.concatMap (
          name:
          let
            it = tree.${name};
            here = path ++ [ name ];
          in
          if !isA "option" it then
            lib.optionals (name != "_module") (walk here it)
          else if !(it.visible or true) then
            [ ]
          else
            [
              (
                {
                  name = concatStringsSep "." here;
                  description = it.description or null;
                  type = it.type.description;
                  internal = it.internal or false;
                }
                // lib.optionalAttrs (it ? default || it ? defaultText) {
                  default = it.defaultText or it.default;
                }
                // lib.optionalAttrs (it ? example) { inherit (it) example; }
              )
            ]
            ++ walk here (it.type.getSubOptions here)
        ) (attrNames tree);
    in
    walk [ ];
in
properties
// {
  inherit
    evalModules
    mkOption
    optionAttrSetToDocList
    pushDown
    resolve
    ;
  mkEnableOption =
    what:
    mkOption {
      type = lib.types.bool;
      default = false;
      example = true;
      description = "Whether to enable ${what}.";
    };
  mkPackageOption =
    pkgs: name: _:
    mkOption {
      type = lib.types.package;
      default = pkgs.${name};
      defaultText = lib.literalExpression "pkgs.${name}";
      description = "The ${name} package to use.";
    };
  literalExpression = text: {
    _type = "literalExpression";
    inherit text;
  };
}
