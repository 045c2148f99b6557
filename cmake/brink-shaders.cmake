# Compiles shaders/ to SPIR-V and embeds it in a generated header, brink/vulkan/shaders.inc, so that
# nothing but the program is needed at run time.

# One line per weight type: GGUF number and name.
set(BRINK_SHADER_FLOAT_TYPES 0:F32 1:F16 30:BF16)
set(BRINK_SHADER_QUANT_TYPES
    2:Q4_0 3:Q4_1 6:Q5_0 7:Q5_1 8:Q8_0 10:Q2_K 11:Q3_K 12:Q4_K 13:Q5_K 14:Q6_K
    16:IQ2_XXS 17:IQ2_XS 18:IQ3_XXS 19:IQ1_S 20:IQ4_NL 21:IQ3_S 22:IQ2_S 23:IQ4_XS 29:IQ1_M
    34:TQ1_0 35:TQ2_0 39:MXFP4 40:NVFP4 41:Q1_0 42:Q2_0)

# brink_find_shader_tools(FOUND): whether all that building the Vulkan backend takes is there.
function(brink_find_shader_tools found)
  find_path(BRINK_VULKAN_INCLUDE vulkan/vulkan_core.h DOC "Folder that holds vulkan/vulkan_core.h")
  find_program(BRINK_GLSLANG glslangValidator)
  find_program(BRINK_SPIRV_OPT spirv-opt)
  find_program(BRINK_SPIRV_VAL spirv-val)
  if(BRINK_VULKAN_INCLUDE AND BRINK_GLSLANG AND BRINK_SPIRV_OPT AND BRINK_SPIRV_VAL)
    set(${found} TRUE PARENT_SCOPE)
  else()
    set(${found} FALSE PARENT_SCOPE)
  endif()
endfunction()

# One module: NAME from SOURCE with the definitions that follow; reads `shaders` and `output` of the
# function that calls it and appends to its `modules`.
macro(brink_add_shader name source)
  set(spirv "${output}/spirv/${name}.spv")
  set(definitions ${ARGN})
  list(TRANSFORM definitions PREPEND -D)
  add_custom_command(
    OUTPUT "${spirv}"
    COMMAND "${BRINK_GLSLANG}" --quiet -V --target-env vulkan1.3 "-I${shaders}" ${definitions}
            --depfile "${spirv}.d" -o "${spirv}" "${source}"
    COMMAND "${BRINK_SPIRV_OPT}" --target-env=vulkan1.3 -O "${spirv}" -o "${spirv}"
    COMMAND "${BRINK_SPIRV_VAL}" --target-env vulkan1.3 "${spirv}"
    DEPENDS "${source}"
    DEPFILE "${spirv}.d"
    COMMENT "Shader ${name}"
    VERBATIM)
  list(APPEND modules "${spirv}")
endmacro()

# brink_add_shaders(SHADERS_DIRECTORY OUTPUT_DIRECTORY): the target brink_shaders, which makes
# OUTPUT_DIRECTORY/brink/vulkan/shaders.inc.
function(brink_add_shaders shaders output)
  file(MAKE_DIRECTORY "${output}/spirv")
  set(modules)
  foreach(name IN ITEMS rms_norm heads attention attention_combine attention_prompt swiglu
                       quantize_q8 round_bf16 to_f16 add_bias route group_experts expert_combine argmax top_k peak_int8)
    brink_add_shader(${name} "${shaders}/${name}.comp")
  endforeach()
  foreach(type IN LISTS BRINK_SHADER_FLOAT_TYPES BRINK_SHADER_QUANT_TYPES)
    string(REPLACE ":" ";" type "${type}")
    list(POP_FRONT type number)
    set(products matvec matmul embed)
    if(NOT type STREQUAL "F32")
      list(APPEND products matmul_coop)
    endif()
    foreach(product IN LISTS products)
      brink_add_shader(${product}.${type} "${shaders}/${product}.comp" BRINK_TYPE=${number})
    endforeach()
    brink_add_shader(matvec_experts.${type} "${shaders}/matvec.comp" BRINK_TYPE=${number}
                     BRINK_EXPERTS)
  endforeach()
  foreach(type IN LISTS BRINK_SHADER_QUANT_TYPES)
    string(REPLACE ":" ";" type "${type}")
    list(POP_FRONT type number)
    foreach(product IN ITEMS matvec_q8 matmul_q8)
      brink_add_shader(${product}.${type} "${shaders}/${product}.comp" BRINK_TYPE=${number})
    endforeach()
    brink_add_shader(matvec_q8_experts.${type} "${shaders}/matvec_q8.comp" BRINK_TYPE=${number}
                     BRINK_EXPERTS)
  endforeach()
  brink_embed_shaders(brink_shaders "${output}/brink/vulkan/shaders.inc")
endfunction()

# brink_add_test_shaders(SHADERS_DIRECTORY SOURCE OUTPUT_DIRECTORY): the target brink_test_shaders,
# which makes OUTPUT_DIRECTORY/brink_test_shaders.inc: the modules of SOURCE (decode.comp of the
# tests) for every type, NAME.values, and NAME.one or NAME.int8.
function(brink_add_test_shaders shaders source output)
  file(MAKE_DIRECTORY "${output}/spirv")
  set(modules)
  foreach(type IN LISTS BRINK_SHADER_FLOAT_TYPES BRINK_SHADER_QUANT_TYPES)
    set(form "int8")
    if(type IN_LIST BRINK_SHADER_FLOAT_TYPES)
      set(form "one")
    endif()
    string(REPLACE ":" ";" type "${type}")
    list(POP_FRONT type number)
    brink_add_shader(${type}.values "${source}" BRINK_TYPE=${number})
    string(TOUPPER ${form} upper)
    brink_add_shader(${type}.${form} "${source}" BRINK_TYPE=${number} BRINK_DECODE_${upper})
  endforeach()
  brink_embed_shaders(brink_test_shaders "${output}/brink_test_shaders.inc")
endfunction()

# The target that embeds all of `modules` in HEADER.
macro(brink_embed_shaders target header)
  set(list "${output}/spirv/modules.txt")
  list(JOIN modules "\n" lines)
  file(GENERATE OUTPUT "${list}" CONTENT "${lines}\n")
  set(embed "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/embed-shaders.cmake")
  add_custom_command(
    OUTPUT "${header}"
    COMMAND "${CMAKE_COMMAND}" "-DMODULES=${list}" "-DHEADER=${header}" -P "${embed}"
    DEPENDS ${modules} "${embed}" "${list}"
    COMMENT "Embedding shaders"
    VERBATIM)
  add_custom_target(${target} DEPENDS "${header}")
endmacro()
