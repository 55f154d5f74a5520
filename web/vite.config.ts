import { defineConfig } from "vite";

// Everything comes from the console's own origin, and nothing is inlined: the policy of the server
// (`console.rs`) allows neither inline scripts nor data URLs for them.
export default defineConfig({
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // What the bundle is made of, with the notices that its licences ask for.
    license: { fileName: "licences.md" },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 1500,
  },
});
