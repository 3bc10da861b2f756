# Sourced: picks the Java for Spark. The project's own JDK in .jdk is used only where JAVA_HOME is not set
# and no Java 17+ is on the path.
has_java() {
    local java=java version
    if [ -n "${JAVA_HOME:-}" ]; then java="$JAVA_HOME/bin/java"; fi
    version=$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
    [ -n "$version" ] && [ "$version" -ge 17 ]
}
if [ -z "${JAVA_HOME:-}" ] && ! has_java; then
    for home in "$PWD"/.jdk/* "$PWD"/.jdk/*/Contents/Home; do
        if [ -x "$home/bin/java" ]; then export JAVA_HOME="$home"; fi
    done
fi
