package org.salus.interop;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.Base64;
import java.util.Map;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.hadoop.conf.Configuration;
import org.apache.parquet.crypto.KeyAccessDeniedException;
import org.apache.parquet.crypto.ParquetCryptoRuntimeException;
import org.apache.parquet.crypto.keytools.KmsClient;

/**
 * A key store client for Vault's transit engine, and for {@code salus keys serve} that speaks as it does.
 *
 * <p>Needs nothing beyond what Spark carries. Properties: {@code parquet.encryption.kms.instance.url}
 * (such as {@code https://keys.example.org:8200}), {@code parquet.encryption.key.access.token},
 * {@code salus.kms.mount} (default {@code transit}), and {@code salus.kms.ca.file}, a PEM file with
 * the certificates to trust instead of Java's own.
 */
public final class VaultTransitKms implements KmsClient {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Duration PATIENCE = Duration.ofSeconds(20);

    private HttpClient http;
    private String base;
    private String token;

    @Override
    public void initialize(Configuration conf, String instanceId, String instanceUrl, String accessToken) {
        HttpClient.Builder builder = HttpClient.newBuilder().connectTimeout(PATIENCE);
        String ca = conf.getTrimmed("salus.kms.ca.file");
        if (ca != null && !ca.isEmpty()) {
            builder.sslContext(trusting(Path.of(ca)));
        }
        http = builder.build();
        base = instanceUrl.replaceAll("/+$", "") + "/v1/" + conf.getTrimmed("salus.kms.mount", "transit") + "/";
        token = accessToken;
    }

    @Override
    public String wrapKey(byte[] key, String masterKey) {
        String plaintext = Base64.getEncoder().encodeToString(key);
        return ask("encrypt", masterKey, Map.of("plaintext", plaintext)).path("ciphertext").asText();
    }

    @Override
    public byte[] unwrapKey(String wrapped, String masterKey) {
        JsonNode data = ask("decrypt", masterKey, Map.of("ciphertext", wrapped));
        return Base64.getDecoder().decode(data.path("plaintext").asText());
    }

    private JsonNode ask(String what, String masterKey, Map<String, String> body) {
        try {
            HttpRequest request = HttpRequest.newBuilder(URI.create(base + what + "/" + masterKey))
                    .timeout(PATIENCE)
                    .header("X-Vault-Token", token)
                    .header("Content-Type", "application/json")
                    .POST(HttpRequest.BodyPublishers.ofString(JSON.writeValueAsString(body)))
                    .build();
            HttpResponse<String> response = http.send(request, HttpResponse.BodyHandlers.ofString());
            if (response.statusCode() == 403) {
                throw new KeyAccessDeniedException("permission denied for the key " + masterKey);
            }
            JsonNode answer = JSON.readTree(response.body());
            if (response.statusCode() != 200) {
                throw new ParquetCryptoRuntimeException(
                        what + " with the key " + masterKey + ": " + answer.path("errors"));
            }
            return answer.path("data");
        } catch (IOException e) {
            throw new ParquetCryptoRuntimeException("the key store cannot be reached", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new ParquetCryptoRuntimeException("interrupted while waiting for the key store", e);
        }
    }

    private static SSLContext trusting(Path pem) {
        try (var in = Files.newInputStream(pem)) {
            KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
            trusted.load(null, null);
            int n = 0;
            for (Certificate certificate : CertificateFactory.getInstance("X.509").generateCertificates(in)) {
                trusted.setCertificateEntry("ca-" + n++, certificate);
            }
            TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            trust.init(trusted);
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(null, trust.getTrustManagers(), null);
            return context;
        } catch (IOException | GeneralSecurityException e) {
            throw new ParquetCryptoRuntimeException("the certificates in " + pem + " cannot be used", e);
        }
    }
}
