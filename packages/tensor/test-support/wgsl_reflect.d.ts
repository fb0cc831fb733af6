// The package's "main" is CommonJS under "type": "module" and exports nothing in Node; this file of it works, but
// has no declarations of its own.
declare module "wgsl_reflect/wgsl_reflect.module.js" {
  export * from "wgsl_reflect";
}
