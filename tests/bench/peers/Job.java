// The job on Kafka Streams: one thread, state in memory as on the other processors.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;

public final class Job {
    static final String[] METRICS = {"throughput_mbps", "rtt_ms", "packet_loss", "jitter_ms"};
    static final int[] WINDOWS = {3, 5, 10};
    static final int LONGEST = 10;
    static final int CHANGED = 3;
    static final int WARM = 10;

    /** What is kept of one link. */
    static final class Link {
        final double[][] recent = new double[METRICS.length][LONGEST];
        final double[] mean = new double[METRICS.length];
        final double[] squares = new double[METRICS.length];
        long seen;

        double[] features(double[] values) {
            double[] found = new double[16];
            double score = 0;
            for (int k = 0; k < values.length; k++) {
                double away = values[k] - mean[k];
                double deviation = seen > 1 ? Math.sqrt(squares[k] / (seen - 1)) : 0;
                if (seen >= WARM && deviation > 0) {
                    score = Math.max(score, Math.abs(away) / deviation);
                }
                mean[k] += away / (seen + 1);
                squares[k] += away * (values[k] - mean[k]);
                if (k < CHANGED && seen > 0) {
                    found[12 + k] = values[k] - recent[k][(int) ((seen - 1) % LONGEST)];
                }
                recent[k][(int) (seen % LONGEST)] = values[k];
                double total = 0;
                int count = 0;
                for (int w = 0; w < WINDOWS.length; w++) {
                    for (; count < Math.min(WINDOWS[w], seen + 1); count++) {
                        total += recent[k][(int) ((seen - count) % LONGEST)];
                    }
                    found[METRICS.length * w + k] = total / count;
                }
            }
            found[15] = score;
            seen++;
            return found;
        }
    }

    /** Answers each sample. */
    static final class Answer implements Processor<byte[], byte[], byte[], byte[]> {
        private final ObjectMapper json = new ObjectMapper();
        private final Map<String, Link> links = new HashMap<>();
        private ProcessorContext<byte[], byte[]> context;

        @Override
        public void init(ProcessorContext<byte[], byte[]> given) {
            context = given;
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            try {
                JsonNode sample = json.readTree(record.value());
                String node = sample.get("node_id").textValue();
                String peer = sample.get("peer_id").textValue();
                double[] values = new double[METRICS.length];
                for (int k = 0; k < values.length; k++) {
                    values[k] = sample.get(METRICS[k]).doubleValue();
                }
                ObjectNode answer = json.createObjectNode();
                answer.set("timestamp", sample.get("timestamp"));
                answer.put("node_id", node);
                answer.put("peer_id", peer);
                ArrayNode features = answer.putArray("features");
                for (double one : links.computeIfAbsent(node + ":" + peer, k -> new Link()).features(values)) {
                    features.add(one);
                }
                context.forward(record.withValue(json.writeValueAsBytes(answer)));
            } catch (java.io.IOException exc) {
                throw new IllegalArgumentException(exc);
            }
        }
    }

    public static void main(String[] args) throws InterruptedException {
        Properties settings = new Properties();
        settings.put("application.id", "streams-" + System.getenv("PEER_GROUP"));
        settings.put("bootstrap.servers", System.getenv("PEER_BROKER"));
        settings.put("state.dir", System.getProperty("java.io.tmpdir") + "/" + System.getenv("PEER_GROUP"));
        settings.put("auto.offset.reset", "earliest");
        settings.put("num.stream.threads", 1);
        settings.put("producer.compression.type", "lz4");
        Topology topology = new Topology();
        var bytes = Serdes.ByteArray();
        topology.addSource("in", bytes.deserializer(), bytes.deserializer(), System.getenv("PEER_FROM"));
        topology.addProcessor("answer", Answer::new, "in");
        topology.addSink("out", System.getenv("PEER_TO"), bytes.serializer(), bytes.serializer(), "answer");
        KafkaStreams streams = new KafkaStreams(topology, settings);
        CountDownLatch stopped = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close();
            stopped.countDown();
        }));
        streams.start();
        stopped.await();
    }
}
