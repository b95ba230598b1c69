# cmake -DIN=file -DOUT=file.cc -DHEADER=declaring/header.h -DNAMESPACE=a::b -DNAME=kName -P embed.cmake
# The text of IN as a std::string_view, for what the binary carries with it.
file(READ "${IN}" text)
# Below the length that compilers promise to take in one literal.
string(LENGTH "${text}" length)
set(literals "")
set(at 0)
while(at LESS length)
  string(SUBSTRING "${text}" ${at} 8000 part)
  string(APPEND literals "\n    R\"embedded(${part})embedded\"")
  math(EXPR at "${at} + 8000")
endwhile()
file(WRITE "${OUT}" "#include \"${HEADER}\"\n\nnamespace ${NAMESPACE} {\n\n"
  "const std::string_view ${NAME} =${literals};\n\n}  // namespace ${NAMESPACE}\n")
