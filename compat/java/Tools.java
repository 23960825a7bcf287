import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

import org.apache.kafka.common.utils.Exit;

/**
 * Runs many of Kafka's command line tools in one JVM, since starting one for each costs a second.
 *
 * <p>Reads a command a line from standard input, for example
 * {@code kafka-topics --bootstrap-server 127.0.0.1:9092 --list}; single quotes group words, and
 * {@code sleep MILLISECONDS} waits, for brokers learn of a change a moment after the controller. Prints
 * each command, what the tool wrote to standard output and standard error, and its status if it is
 * not 0.
 */
public final class Tools {
    private static final Map<String, String> TOOLS = Map.of(
        "kafka-topics", "org.apache.kafka.tools.TopicCommand",
        "kafka-configs", "kafka.admin.ConfigCommand",
        "kafka-cluster", "org.apache.kafka.tools.ClusterTool",
        "kafka-features", "org.apache.kafka.tools.FeatureCommand",
        "kafka-metadata-quorum", "org.apache.kafka.tools.MetadataQuorumCommand",
        "kafka-dump-log", "org.apache.kafka.tools.DumpLogSegments",
        "kafka-metadata-shell", "org.apache.kafka.shell.MetadataShell",
        "kafka-leader-election", "org.apache.kafka.tools.LeaderElectionCommand",
        "kafka-storage", "kafka.tools.StorageTool");
    private static final Pattern WORD = Pattern.compile("'([^']*)'|(\\S+)");

    /** Ends a tool where it would have ended the process. */
    private static final class Ended extends RuntimeException {
        private Ended() {
            super("ended", null, false, false);
        }
    }

    private static final PrintStream OUT = System.out;
    private static final PrintStream ERR = System.err;

    /** What the tool has written so far. */
    private static ByteArrayOutputStream written;
    /** Its output and status when it wanted to end the process; what it does after that, with the
     * exception that it did not expect, would not have happened. */
    private static String atEnd;
    private static int status;

    public static void main(String[] args) throws Exception {
        Exit.setExitProcedure((status, message) -> end(status));
        Exit.setHaltProcedure((status, message) -> end(status));
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            if (line.startsWith("sleep ")) {
                Thread.sleep(Long.parseLong(line.substring("sleep ".length())));
            } else if (!line.isBlank()) {
                OUT.println("$ " + line);
                OUT.print(run(words(line)));
                OUT.flush();
            }
        }
        Runtime.getRuntime().halt(0); // admin clients may have left threads behind
    }

    private static void end(int wanted) {
        if (atEnd == null) {
            atEnd = written.toString();
            status = wanted;
        }
        throw new Ended();
    }

    private static List<String> words(String line) {
        List<String> words = new ArrayList<>();
        Matcher matcher = WORD.matcher(line);
        while (matcher.find()) {
            words.add(matcher.group(1) != null ? matcher.group(1) : matcher.group(2));
        }
        return words;
    }

    private static String run(List<String> words) {
        String tool = TOOLS.get(words.get(0));
        if (tool == null) {
            return "no such tool\n";
        }
        String[] args = words.subList(1, words.size()).toArray(new String[0]);
        written = new ByteArrayOutputStream();
        atEnd = null;
        status = 0;
        PrintStream both = new PrintStream(written, true);
        System.setOut(both);
        System.setErr(both);
        try {
            scala.Console.withOut(both, () -> call(tool, args));
        } finally {
            System.setOut(OUT);
            System.setErr(ERR);
        }
        String text = atEnd != null ? atEnd : written.toString();
        String closed = text.isEmpty() || text.endsWith("\n") ? text : text + "\n";
        return status == 0 ? closed : closed + "(status " + status + ")\n";
    }

    private static Object call(String tool, String[] args) {
        try {
            Class.forName(tool).getMethod("main", String[].class).invoke(null, (Object) args);
        } catch (java.lang.reflect.InvocationTargetException thrown) {
            if (!(thrown.getCause() instanceof Ended)) {
                System.err.println("thrown: " + thrown.getCause());
                status = 1;
            }
        } catch (ReflectiveOperationException impossible) {
            throw new IllegalStateException(impossible);
        }
        return null;
    }
}
