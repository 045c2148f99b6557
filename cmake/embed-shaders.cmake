# cmake -DMODULES=LIST -DHEADER=FILE -P embed-shaders.cmake: writes the SPIR-V modules that the lines
# of LIST name as C++ arrays, with a table of their names.
file(STRINGS "${MODULES}" modules)
set(arrays "")
set(table "")
foreach(module IN LISTS modules)
  get_filename_component(name "${module}" NAME)
  string(REGEX REPLACE "\\.spv$" "" name "${name}")
  string(MAKE_C_IDENTIFIER "${name}" identifier)
  file(READ "${module}" hex HEX)
  # SPIR-V is little-endian words.
  string(REGEX REPLACE "(..)(..)(..)(..)" "0x\\4\\3\\2\\1," words "${hex}")
  string(APPEND arrays "inline constexpr std::uint32_t ${identifier}[] = {${words}};\n")
  string(APPEND table "    {\"${name}\", ${identifier}},\n")
endforeach()
file(WRITE "${HEADER}" "// Generated from shaders/.
${arrays}
struct EmbeddedShader {
  std::string_view name;
  std::span<const std::uint32_t> code;
};
inline constexpr EmbeddedShader kEmbeddedShaders[] = {
${table}};
")
